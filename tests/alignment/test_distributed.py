"""Two processes on one machine do what one process with all photographs does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from fmbseg.aligned.prototypes import Prototypes
from fmbseg.alignment.distillation import OldVocabulary
from fmbseg.alignment.distributed import Processes, join_processes
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import EpochRecord, Step, train
from fmbseg.alignment.validation import validate
from fmbseg.missing_package import MissingPackageError
from fmbseg.vocabulary import Vocabulary
from tests.alignment.grids import PROTOTYPES, dense_of, features_of, make_examples, make_head

SETTINGS = TrainingSettings(temperature=0.3, dense_weight=2.0, distillation=3.0, batch_size=2, epochs=2)
LOCAL = TrainingSettings(temperature=0.3, gather=False)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CASES = {"gathered": (SETTINGS, 3), "one photograph": (SETTINGS, 1), "local": (LOCAL, 4)}

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available() or sys.platform == "win32",
    reason="needs gloo on a POSIX system",
)


def objective(settings: TrainingSettings, processes: Processes) -> Objective:
    torch.manual_seed(7)
    old = OldVocabulary(make_head(), Prototypes(Vocabulary.of(["a", "b", "c"]), PROTOTYPES.flip(1)), 0.3)
    return Objective(
        features_of,
        PROTOTYPES,
        settings,
        dense_of if settings.dense_weight else None,
        old if settings.distillation else None,
        processes,
    )


def gradients(settings: TrainingSettings, count: int, processes: Processes) -> dict[str, Any]:
    """Loss and gradient of one batch, of which this process has its share."""
    head = make_head()
    with torch.no_grad():
        for weight in head.parameters():  # away from the old head, which is equal otherwise
            weight.add_(0.1)
    batch = processes.share(make_examples(count))
    loss = objective(settings, processes).batch(head, batch, epoch=1)
    if loss.value.requires_grad:
        torch.autograd.backward(loss.value)
    processes.sum_gradients(head.parameters())
    grads = [weight.grad for weight in head.parameters()]
    assert all(grad is not None for grad in grads)
    flat = torch.cat([grad.flatten() for grad in grads if grad is not None])
    return {"loss": float(loss.reported), "patches": loss.patches, "gradient": flat}


def trained(processes: Processes, batch_size: int) -> dict[str, Any]:
    head, history = make_head(), list[EpochRecord]()
    steps: list[Step] = []
    settings = TrainingSettings(epochs=2, batch_size=batch_size, temperature=0.3, learning_rate=0.02)
    examples = make_examples(9)
    train(
        head,
        examples[:7],
        Objective(features_of, PROTOTYPES, settings, processes=processes),
        held_out=examples[7:],
        on_step=steps.append,
        on_epoch=history.append,
    )
    flat = torch.cat([weight.detach().flatten() for weight in head.parameters()])
    return {
        "weights": flat,
        "losses": [step.loss for step in steps],
        "images": [step.images for step in steps],
        "validation": [[r.validation_loss, r.validation_accuracy, r.validation_miou] for r in history],
    }


def everything(processes: Processes, batch_size: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: gradients(*case, processes) for name, case in CASES.items()}
    vectors = torch.arange(3.0 * (processes.rank + 1)).view(-1, 3) + processes.rank
    labels = torch.full((processes.rank + 1,), processes.rank)
    found["vectors"], found["labels"] = processes.gather(vectors, labels)
    found["score"] = validate(make_head(), make_examples(5), objective(LOCAL, processes))
    found["trained"] = trained(processes, batch_size)
    return found


def work(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    processes, device = join_processes()
    assert (processes.rank, processes.count, device.type) == (rank, 2, DEVICE)
    found = everything(processes, batch_size=2)
    found["score"] = tuple(found["score"])
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    spawn(work, args=(str(folder),), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", ["gathered", "one photograph"])
def test_gathered_gradients_are_those_of_the_joined_batch(two: list[dict[str, Any]], case: str) -> None:
    """Three photographs are dealt two and one, with 24 and 18 labels; of one, a process has none."""
    expected = gradients(*CASES[case], Processes())
    assert expected["gradient"].abs().max() > 0.01
    for found in two:
        torch.testing.assert_close(found[case]["gradient"], expected["gradient"], rtol=0, atol=1e-6)
        assert found[case]["loss"] == pytest.approx(expected["loss"], rel=1e-6)
        assert found[case]["patches"] == expected["patches"]
    assert torch.equal(two[0][case]["gradient"], two[1][case]["gradient"])


def test_local_patches_give_the_mean_of_the_processes(two: list[dict[str, Any]]) -> None:
    halves = []
    for rank in range(2):
        head = make_head()
        with torch.no_grad():
            for weight in head.parameters():
                weight.add_(0.1)
        loss = objective(LOCAL, Processes()).batch(head, make_examples(4)[rank::2], epoch=1)
        torch.autograd.backward(loss.value)
        halves.append((loss, torch.cat([w.grad.flatten() for w in head.parameters() if w.grad is not None])))
    for found in two:
        expected = (halves[0][1] + halves[1][1]) / 2
        torch.testing.assert_close(found["local"]["gradient"], expected, rtol=0, atol=1e-6)
        mean = (halves[0][0].reported.item() + halves[1][0].reported.item()) / 2
        assert found["local"]["loss"] == pytest.approx(mean, rel=1e-6)


def test_unequal_numbers_of_rows_are_put_one_after_another(two: list[dict[str, Any]]) -> None:
    for found in two:
        assert found["vectors"].tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6]]
        assert found["labels"].tolist() == [0, 1, 1]


def test_validation_is_shared(two: list[dict[str, Any]]) -> None:
    expected = validate(make_head(), make_examples(5), objective(LOCAL, Processes()))
    assert expected is not None
    for found in two:
        assert found["score"] == pytest.approx(tuple(expected), rel=1e-5)


def test_a_whole_training_is_that_of_one_process(two: list[dict[str, Any]]) -> None:
    """Batches of two photographs for each of two processes are batches of four for one."""
    expected = trained(Processes(), batch_size=4)
    for found in (each["trained"] for each in two):
        torch.testing.assert_close(found["weights"], expected["weights"], rtol=1e-4, atol=1e-5)
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)
        assert found["images"] == expected["images"] == [4, 3, 4, 3]
        for one, other in zip(found["validation"], expected["validation"], strict=True):
            assert one == pytest.approx(other, rel=1e-3)
    assert torch.equal(two[0]["trained"]["weights"], two[1]["trained"]["weights"])


def test_alone_there_is_nothing_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes, device = join_processes()
    assert (processes.rank, processes.count, processes.main, device.type) == (0, 1, True, DEVICE)


def test_several_processes_without_accelerate_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingPackageError, match=r"one of 2 processes.*pip install 'fmbseg\[train\]'"):
        join_processes()
