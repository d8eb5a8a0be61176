import math

import pytest
import torch

from fmbseg.alignment.schedule import make_optimizer, make_schedule, rate_factor
from fmbseg.alignment.settings import TrainingSettings


def rates(settings: TrainingSettings, steps: int) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([weight], settings)
    schedule = make_schedule(optimizer, settings, steps)
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


def test_the_default_is_a_cosine_from_the_full_rate_towards_0() -> None:
    expected = [0.05 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates(TrainingSettings(), 8) == pytest.approx(expected)


def test_a_warmup_rises_evenly_and_the_cosine_has_what_is_left() -> None:
    found = rates(TrainingSettings(warmup=0.3, learning_rate=1.0), 10)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[3:] == pytest.approx([(1 + math.cos(math.pi * step / 7)) / 2 for step in range(7)])


def test_a_single_step_has_the_full_rate() -> None:
    assert rate_factor(0, 1) == 1.0


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_goes_by_name(name: str, kind: type[torch.optim.Optimizer]) -> None:
    settings = TrainingSettings(optimizer=name, learning_rate=0.02, weight_decay=0.3)  # type: ignore[arg-type]
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], settings)
    assert isinstance(optimizer, kind)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.02, 0.3)
