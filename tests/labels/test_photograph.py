"""Masks are never laid on another photograph than the one that they were made from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.merged import merge
from fmbseg.labels.record import PhotographError, checked_photograph
from fmbseg.labels.sheets import contact_sheet
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import manifest, record
from tests.labels.pictures import write_labels


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def test_those_that_were_labelled_are_found(labels: LabelSet) -> None:
    assert [labels.photograph_of(one) for one in labels] == [Path(labels.root) / one.path for one in labels]
    merged = merge(labels, labels.stage(11), repeated="first")
    assert [merged.photograph_of(one).name for one in merged] == ["a.png", "b.png", "none.png", "z.png"]


def test_one_that_was_replaced_is_refused_by_all_that_show_it(labels: LabelSet) -> None:
    (Path(labels.root) / "a.png").write_bytes((Path(labels.root) / "z.png").read_bytes())
    first = next(iter(labels))
    for changed in (labels, labels.stage(11), merge(labels, labels.resample(0.5), repeated="first")):
        with pytest.raises(
            PhotographError, match=r"a\.png was changed since it was labelled: put it back, or"
        ):
            changed.photograph_of(first)
    with pytest.raises(PhotographError, match="was changed"):
        contact_sheet(labels)
    (Path(labels.root) / "a.png").unlink()
    with pytest.raises(PhotographError, match=r"a\.png cannot be read \(No such file or directory\): put it"):
        labels.photograph_of(first)


def test_one_byte_more_is_another_photograph(labels: LabelSet) -> None:
    with (Path(labels.root) / "z.png").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(PhotographError, match="was changed"):
        labels.photograph_of(list(labels)[-1])


def test_a_path_that_leaves_the_folder_is_refused_though_the_hash_fits(labels: LabelSet) -> None:
    inner = LabelSet(labels.folder)
    first = next(iter(inner))
    for path in ("../photographs/a.png", str(Path(labels.root) / "a.png")):
        with pytest.raises(PhotographError, match="leads out of the folder"):
            checked_photograph(labels.root, record(path, sha256=first.sha256))
        with pytest.raises(ValueError, match="leads out of the folder"):
            inner.image_path(record(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes")
def test_a_pipe_is_not_waited_for(labels: LabelSet) -> None:
    (Path(labels.root) / "a.png").unlink()
    os.mkfifo(Path(labels.root) / "a.png")
    with pytest.raises(PhotographError, match="is a pipe, not a regular file"):
        labels.photograph_of(next(iter(labels)))


@pytest.mark.parametrize("path", ["/a.jpg", "../a.jpg", "a/../../b.jpg"])
def test_such_a_path_is_not_written_either(tmp_path: Path, path: str) -> None:
    with (
        LabelWriter(tmp_path, manifest(1)) as writer,
        pytest.raises(ValueError, match="leads out of the folder /photographs"),
    ):
        writer.append(record(path))
