"""How long training goes on from a head, or whether that head is kept."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment import selection
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.selection import choose, select_epochs
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import train
from fmbseg.progress import Progress
from tests.alignment.grids import PROTOTYPES, features_of, make_examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.alignment.training_example import TrainingExample

SETTINGS = TrainingSettings(epochs=4, batch_size=2, optimizer="adamw", learning_rate=0.03, temperature=0.3)
OBJECTIVE = Objective(features_of, PROTOTYPES, SETTINGS)
QUIET = Progress(False)


def mlp_head() -> AlignmentHead:
    torch.manual_seed(0)
    return AlignmentHead(12, 8, kind="mlp")


def test_a_start_that_knows_nothing_is_trained() -> None:
    start = mlp_head()
    before = copy.deepcopy(start.state_dict())
    found = select_epochs(start, make_examples(8), OBJECTIVE, 2, QUIET)
    assert found.epochs == found.best > 0
    assert found.photographs == 8
    assert found.after > found.start + 2 * found.error
    assert all(weight.equal(before[name]) for name, weight in start.state_dict().items())


def test_a_start_that_knows_everything_is_kept_from_wrong_labels() -> None:
    start = mlp_head()
    train(start, make_examples(12), OBJECTIVE, on_step=lambda _: None, on_epoch=lambda _: None)
    random = np.random.default_rng(0)
    wrong = [
        replace(one, labels=np.where(one.labels < 0, -1, random.permuted(one.labels)).astype(np.int16))
        for one in make_examples(10)
    ]
    right = select_epochs(start, make_examples(10), OBJECTIVE, 2, QUIET)
    assert right.start > 0.9
    found = select_epochs(start, wrong, OBJECTIVE, 2, QUIET)
    assert found.epochs == 0
    assert str(found).startswith("right on ")
    assert found.to_dict()["told"] == str(found)


@pytest.mark.parametrize(("count", "parts", "held"), [(7, 5, 7), (6, 9, 6), (50, 5, 10)])
def test_every_photograph_is_held_out_once_and_never_from_itself(
    monkeypatch: pytest.MonkeyPatch, count: int, parts: int, held: int
) -> None:
    """Of fifty photographs one part is measured."""
    seen: list[tuple[set[str], set[str]]] = []
    trained: set[str] = set()

    def no_training(_head: object, kept: Sequence[TrainingExample], *_: object, **options: Any) -> None:
        trained.clear()
        trained.update(one.sha256 for one in kept)
        for _epoch in range(SETTINGS.epochs):
            options["on_epoch"](None)

    def counted(_head: object, examples: Sequence[TrainingExample], _objective: object) -> Any:
        seen.append((set(trained), {one.sha256 for one in examples}))
        return np.ones((len(examples), 2))

    monkeypatch.setattr(selection, "train", no_training)
    monkeypatch.setattr(selection, "_counted", counted)
    found = select_epochs(mlp_head(), make_examples(count), OBJECTIVE, parts, QUIET)
    assert found.photographs == held
    after = seen[1 :: SETTINGS.epochs + 1]
    assert all(not kept & measured and len(kept | measured) == count for kept, measured in after)
    assert sum(len(measured) for _, measured in after) == held


def test_fewer_than_five_photographs_tell_nothing() -> None:
    found = select_epochs(mlp_head(), make_examples(4), OBJECTIVE, 5, QUIET)
    assert (found.epochs, found.photographs) == (0, 4)
    assert str(found) == "4 photographs are too few to tell whether training improves a head"


def test_the_gain_and_its_error_by_hand() -> None:
    """Gains of 2, 4 and 0 of 10, 10 and 20 patches: 6 of 40.

    The ratio is 0.15, its residuals 0.5, 2.5 and -3: error sqrt((0.25 + 6.25 + 9) x 3 / 2) / 40 = 0.12055.
    """
    before = [(3, 10), (4, 10), (5, 20)]
    after = [(5, 10), (8, 10), (5, 20)]
    worse = [(2, 10), (4, 10), (5, 20)]
    found = choose(np.array([before, worse, after], dtype=float))
    assert found.best == 2
    assert (found.start, found.after) == pytest.approx((12 / 40, 18 / 40))
    assert found.error == pytest.approx(0.12055, abs=1e-5)
    assert found.epochs == 0  # 0.15 is less than twice the error
    sure = [(5, 10), (6, 10), (9, 20)]  # gains of a fifth each: no error at all
    assert choose(np.array([before, sure], dtype=float)).epochs == 1


def test_training_stops_where_it_is_told_and_is_the_same_until_then() -> None:
    histories = []
    for until in (None, 2):
        records: list[Any] = []
        train(
            *(mlp_head(), make_examples(6), OBJECTIVE),
            until=until,
            on_step=lambda _: None,
            on_epoch=records.append,
        )
        histories.append(records)
    assert len(histories[0]) == 4
    assert histories[1] == histories[0][:2]
