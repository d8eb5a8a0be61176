"""A training that is stopped anywhere and goes on ends with the same bits as one that was not."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch.nn import functional

from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.checkpoint import STATE_FILE, Checkpoint, TrainingCheckpointError
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import EpochRecord, Step, train
from fmbseg.checksums import seal, unseal
from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.written import WouldReplaceError
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.alignment.grids import PROTOTYPES, features_of, make_examples, make_head
from tests.alignment.photographs import labelled
from tests.forks import Forks

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = TrainingSettings(epochs=3, batch_size=2, optimizer="adamw", learning_rate=3e-3, warmup=0.2)
IDENTITY = {"labels": "ab12", "settings": {"epochs": 3, "seed": 0}}


class StoppedError(Exception):
    pass


def dropout_head() -> AlignmentHead:
    """A head that needs random numbers in each step."""
    torch.manual_seed(0)
    head = make_head()
    head.norm = torch.nn.Sequential(head.norm, torch.nn.Dropout(0.3))  # type: ignore[assignment]
    return head


def run(
    head: AlignmentHead,
    checkpoint: Checkpoint | None = None,
    *,
    stop: tuple[int, int] | None = None,
    settings: TrainingSettings = SETTINGS,
) -> tuple[list[EpochRecord], list[tuple[int, int]]]:
    """Train, or go on, and stop after a batch of an epoch; what was reported."""
    if checkpoint is not None:
        checkpoint.open(IDENTITY)
    history: list[EpochRecord] = []
    steps: list[tuple[int, int]] = []

    def on_step(step: Step) -> None:
        steps.append((step.epoch, step.batch))
        if steps[-1] == stop:
            raise StoppedError

    examples = make_examples(5)
    train(
        head,
        examples[:4],
        Objective(features_of, PROTOTYPES, settings),
        held_out=examples[4:],
        checkpoint=checkpoint,
        on_step=on_step,
        on_epoch=history.append,
    )
    return history, steps


def weights(head: AlignmentHead) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in head.parameters()])


@pytest.mark.parametrize("make", [make_head, dropout_head])
@pytest.mark.parametrize("stop", [(1, 1), (1, 2), (2, 1), (3, 2)])
def test_it_goes_on_bit_for_bit(tmp_path: Path, make: Any, stop: tuple[int, int]) -> None:
    whole = make()
    expected, _ = run(whole)
    stopped, resumed = make(), make()
    with pytest.raises(StoppedError):
        run(stopped, Checkpoint(tmp_path, seconds=0), stop=stop)
    torch.rand(7)  # the caller's random numbers have no say
    history, steps = run(resumed, Checkpoint(tmp_path, seconds=0))
    assert torch.equal(weights(resumed), weights(whole))
    assert history == expected[-len(history) :]
    # What was saved before the stop is not done again: the batch itself was not saved yet.
    assert steps[0] == stop


def test_within_an_epoch_it_is_saved_when_it_is_time(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        run(make_head(), Checkpoint(tmp_path, seconds=1e9), stop=(2, 2))
    _, steps = run(make_head(), Checkpoint(tmp_path))
    assert steps[0] == (2, 1)


def test_a_training_that_is_done_is_only_read(tmp_path: Path) -> None:
    head, again = make_head(), make_head()
    run(head, Checkpoint(tmp_path))
    history, steps = run(again, Checkpoint(tmp_path))
    assert (history, steps) == ([], [])
    assert torch.equal(weights(again), weights(head))


def test_another_training_is_refused_with_both_named(tmp_path: Path) -> None:
    run(make_head(), Checkpoint(tmp_path))
    other = {"labels": "cd34", "settings": {"epochs": 3, "seed": 7}}
    with pytest.raises(TrainingCheckpointError) as error:
        Checkpoint(tmp_path).open(other)
    assert "labels was 'ab12' and is 'cd34'; seed was 0 and is 7. Train as before" in str(error.value)
    assert "epochs" not in str(error.value)


DAMAGED = r"training.pt is damaged: .*, or fmbseg did not write it: delete it to train from the start"


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    run(make_head(), Checkpoint(tmp_path))
    path = tmp_path / STATE_FILE
    content = path.read_bytes()
    for bad in (b"", content[: len(content) // 2], b"\x80\x02]q\x00.", content + b"\n"):
        path.write_bytes(bad)
        with pytest.raises(TrainingCheckpointError, match=DAMAGED):
            Checkpoint(tmp_path).open(IDENTITY)


def test_no_flipped_bit_is_believed(tmp_path: Path) -> None:
    run(make_head(), Checkpoint(tmp_path))
    path = tmp_path / STATE_FILE
    content = path.read_bytes()
    random = Random(0)
    for _ in range(200):
        bad = bytearray(content)
        bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(TrainingCheckpointError, match=DAMAGED):
            Checkpoint(tmp_path).open(IDENTITY)
    path.write_bytes(content)
    Checkpoint(tmp_path).open(IDENTITY)


def keep(folder: Path, **content: Any) -> None:
    """A checkpoint of other content with a checksum that fits."""
    file = BytesIO()
    torch.save(content, file)
    (folder / STATE_FILE).write_bytes(seal(file.getvalue()))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, schema_version=2, identity=IDENTITY, state=StoppedError)
    with pytest.raises(TrainingCheckpointError, match="holds no training"):
        Checkpoint(tmp_path).open(IDENTITY)


def test_another_schema_is_told(tmp_path: Path) -> None:
    keep(tmp_path, schema_version=9, identity=IDENTITY, state={})
    with pytest.raises(TrainingCheckpointError, match="schema_version 9, but this fmbseg reads 2"):
        Checkpoint(tmp_path).open(IDENTITY)


def test_a_file_of_someone_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text("my notes")
    with pytest.raises(TrainingCheckpointError, match="or fmbseg did not write it"):
        run(make_head(), Checkpoint(tmp_path))
    assert (tmp_path / STATE_FILE).read_text() == "my notes"


def test_a_folder_is_locked_while_a_training_is_kept_in_it(tmp_path: Path) -> None:
    with Checkpoint(tmp_path) as first:
        with pytest.raises(WouldReplaceError, match=r"another run is writing to .*; wait for it"):
            Checkpoint(tmp_path).__enter__()
        with first:  # again within itself
            pass
        with pytest.raises(WouldReplaceError, match="another run is writing"):
            fitted(tmp_path, TinyBackbone(), TINY, folder=tmp_path)
    with Checkpoint(tmp_path):
        pass


def test_a_part_of_what_it_is_of_can_be_checked_early(tmp_path: Path) -> None:
    run(make_head(), Checkpoint(tmp_path))
    Checkpoint(tmp_path).check({"labels": "ab12"})
    Checkpoint(tmp_path / "none").check({"labels": "cd34"})
    with pytest.raises(TrainingCheckpointError, match="labels was 'ab12' and is 'cd34'"):
        Checkpoint(tmp_path).check({"labels": "cd34"})


def test_a_save_that_fails_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path)
    run(make_head(), checkpoint)
    before = checkpoint.path.read_bytes()

    def fail(self: Path, target: Path) -> Path:
        raise OSError("no such luck")

    monkeypatch.setattr(Path, "replace", fail)
    checkpoint.open(IDENTITY)
    assert checkpoint.state is not None
    with pytest.raises(OSError, match="no such luck"):
        checkpoint.save(replace(checkpoint.state, epoch=1))
    assert checkpoint.path.read_bytes() == before


TINY = replace(SETTINGS, epochs=4, image_size=64, cache_gb=0.0, similarity_power=0.0)


class Dying(TinyBackbone):
    """Kills its process when it is asked for so many grids."""

    def __init__(self, grids: int) -> None:
        super().__init__()
        self.left = grids

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(pixels)


def fitted(
    photographs: Path,
    backbone: TinyBackbone,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    text: TinyImageText | None = None,
) -> Aligner:
    aligner = Aligner(backbone, text or TinyImageText(), settings=settings, device="cpu")
    kept = None if folder is None else Checkpoint(folder, seconds=0)
    labels = labelled(photographs, side=96)
    return aligner.fit(labels, checkpoint=kept, logs=photographs / "logs", progress=False)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_in_two_epochs_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Three photographs in two batches: after the blank image and the noise each epoch asks for three."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    fitted(tmp_path / "whole", TinyBackbone(), TINY).save_pretrained(tmp_path / "a")
    # Killed at the last grid of epoch 2; from its second batch on, at the last of epoch 4.
    with Forks("from tests.alignment.test_checkpoint import TINY, Dying, Path, fitted") as forks:
        for calls, epoch in ((2 + 3 + 3, 2), (2 + 1 + 3 + 3, 4)):
            folder = tmp_path / "killed"
            forks.start(f"p = Path({str(folder)!r}); fitted(p, Dying({calls}), TINY, folder=p / 'kept')")
            assert forks.end() == signal.SIGKILL
            path = folder / "kept" / STATE_FILE
            state = torch.load(BytesIO(unseal(path.read_bytes(), path)), weights_only=True)["state"]
            assert (state["epoch"], state["batches"]) == (epoch, 1)
    aligner = fitted(tmp_path / "killed", TinyBackbone(), TINY, folder=tmp_path / "killed" / "kept")
    aligner.save_pretrained(tmp_path / "b")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    columns = [
        [
            line.rpartition(",")[0]
            for line in (tmp_path / name / "logs" / "steps.csv").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert columns[0] == columns[1]  # but for the seconds
    assert len(columns[0]) == 1 + 4 * 2


def test_the_aligner_refuses_other_labels_settings_and_weights(tmp_path: Path) -> None:
    settings, kept = replace(TINY, epochs=1), tmp_path / "kept"
    fitted(tmp_path, TinyBackbone(), settings, folder=kept)
    fitted(tmp_path, TinyBackbone(), replace(settings, cache_gb=1.0), folder=kept)  # of no matter
    with pytest.raises(TrainingCheckpointError, match=r"temperature was 0.07 and is 0.5\. Train"):
        fitted(tmp_path, TinyBackbone(), replace(settings, temperature=0.5), folder=kept)
    with pytest.raises(TrainingCheckpointError, match=r"training: seed was 0 and is 1\. Train"):
        fitted(tmp_path, TinyBackbone(), replace(settings, seed=1), folder=kept)
    torch.manual_seed(1)
    other = Aligner(TinyBackbone(), TinyImageText(), head=AlignmentHead(24, 16), settings=settings)
    with pytest.raises(TrainingCheckpointError, match=r"first weights was '\w{64}' and is '\w{64}'\. "):
        other.fit(labelled(tmp_path, side=96), checkpoint=kept, progress=False)
    aligner = Aligner(TinyBackbone(), TinyImageText(), settings=settings, device="cpu")
    with pytest.raises(TrainingCheckpointError, match=r"labels was '\w{64}' and is '\w{64}'\. "):
        aligner.fit(labelled(tmp_path, ("chelsea", "coffee"), side=96), checkpoint=kept, progress=False)


def test_other_weights_of_the_same_name_are_refused(tmp_path: Path) -> None:
    settings, kept = replace(TINY, epochs=1), tmp_path / "kept"
    fitted(tmp_path, TinyBackbone(), settings, folder=kept)
    before = (kept / STATE_FILE).read_bytes()
    backbone, text = TinyBackbone(), TinyImageText()
    backbone.weight = backbone.weight.flip(0)
    with pytest.raises(TrainingCheckpointError, match="the backbone has other weights, though"):
        fitted(tmp_path, backbone, settings, folder=kept)
    text.encode_text = lambda prompts: TinyImageText().encode_text(prompts).flip(1)  # type: ignore[method-assign]
    with pytest.raises(TrainingCheckpointError, match="the text encoder has other weights"):
        fitted(tmp_path, TinyBackbone(), settings, folder=kept, text=text)
    assert (kept / STATE_FILE).read_bytes() == before


class Seeing(TinyImageText):
    """An image-text model whose dense map is the colours in 16 directions."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._directions = torch.randn(self.dim, 3, generator=torch.Generator().manual_seed(seed))

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        colours = functional.avg_pool2d(crops, self.stride)
        dense = functional.normalize(torch.einsum("dc,bchw->bdhw", self._directions, colours), dim=1)
        return ImageTextFeatures(dense.mean(dim=(2, 3)), dense)


def test_other_weights_of_the_dense_map_are_refused_where_it_is_learned_from(tmp_path: Path) -> None:
    settings = replace(TINY, epochs=1, dense_weight=1.0)
    for _ in range(2):
        fitted(tmp_path, TinyBackbone(), settings, folder=tmp_path / "kept", text=Seeing(0))
    with pytest.raises(TrainingCheckpointError, match="the dense map of the text encoder has other weights"):
        fitted(tmp_path, TinyBackbone(), settings, folder=tmp_path / "kept", text=Seeing(1))
