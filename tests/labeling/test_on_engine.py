"""Stage 1 on several processes: the label set of one process, byte by byte."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg import LabelSet, PseudoLabeler
from fmbseg.engines.engine import OnProcesses
from fmbseg.labeling.shard_work import LabelWork, Shard
from fmbseg.labels.manifest import read_manifest
from fmbseg.labels.verification import verify
from fmbseg.part import Part
from fmbseg.sources.local import LocalFiles
from fmbseg.vocabulary import Vocabulary
from tests.labeling.runs import make_labeler, pictures

if TYPE_CHECKING:
    from pathlib import Path

PHOTOGRAPHS, BAD, SHARD = 22, 2, 4
WORDS = ["red", "blue", "green", "white"]


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "photographs"
    pictures(folder, PHOTOGRAPHS, bad=BAD)
    return folder


@pytest.fixture(scope="module")
def labeler() -> PseudoLabeler:
    return make_labeler("stand-ins")


def label(labeler: PseudoLabeler, source: Path, out: Path, **options: Any) -> LabelSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return labeler.label(source, WORDS, out, shard_size=SHARD, progress=False, **options)


@pytest.fixture(scope="module")
def whole(labeler: PseudoLabeler, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "labels"
    label(labeler, source, out)
    return out


def test_two_processes_write_what_one_writes(
    labeler: PseudoLabeler, source: Path, whole: Path, tmp_path: Path
) -> None:
    # The second part is begun by one process, whose begun shard is made anew.
    out = tmp_path / "labels"
    known = {f"{n:04}.png": ["red"] for n in range(0, PHOTOGRAPHS, 2)}
    label(labeler, source, out, part=Part(1, 2))
    (out / "shard-00002.parquet").unlink()
    labels = label(labeler, source, out, engine=OnProcesses(2))
    assert files(out) == files(whole)
    assert verify(out, photographs=True) == []
    assert [row["path"] for row in labels.errors] == ["0020.png", "0021.png"]
    marked = label(labeler, source, tmp_path / "one", image_labels=known)
    label(labeler, source, tmp_path / "two", image_labels=known, engine=OnProcesses(1))
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert marked.fingerprint != labels.fingerprint


def test_what_the_run_is_told_while_it_lasts(
    labeler: PseudoLabeler, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "fmbseg.progress.Bar.advance", lambda self, images, *, detail="": told.append(f"{images} {detail}")
    )
    with pytest.warns(UserWarning, match="2 of 22 photographs could not be labelled, 0020.png first"):
        labeler.label(source, WORDS, tmp_path / "out", shard_size=SHARD, engine=OnProcesses(1))
    assert sum(int(one.split()[0]) for one in told) == PHOTOGRAPHS
    assert told[-1].endswith("1 worker, 2 failed: is not an image that Pillow can read (2)")


def test_workers_with_other_models_than_the_first_are_refused(
    labeler: PseudoLabeler, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    label(labeler, source, out, part=Part(1, 3))
    other = {**labeler._given, "settings": None}
    work = LabelWork(
        partial(PseudoLabeler, **other), LocalFiles(source), Vocabulary.of(WORDS), PHOTOGRAPHS, out, 1
    )
    unit = Shard(1, read_manifest(out)["hash"], ("0004.png",), (None,))
    with pytest.raises(ValueError, match="labels of another configuration: settings"):
        work()(unit, lambda _: None)
    with pytest.raises(ValueError, match="another label set on this machine"):
        work()(unit._replace(manifest="0" * 64), lambda _: None)


def test_a_model_that_cannot_be_sent_is_told_of(source: Path, tmp_path: Path, labeler: PseudoLabeler) -> None:
    class Local(type(labeler.encoder)):  # type: ignore[misc]
        """Of no module that another process could import."""

    with pytest.raises(ValueError, match=r"cannot be sent to other processes \(.*Local.*give models by spec"):
        PseudoLabeler(image_text=Local(), mask_generator=labeler.generator).label(
            source, WORDS, tmp_path / "out", engine=OnProcesses(1)
        )
