"""What labels paint is counted by word; the commands themselves are tested where they live."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from benchmarks import few_photographs
from benchmarks.few_photographs import command, painted, parse
from fmbseg import __version__
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.writer import LabelWriter
from tests.evaluation.layouts import write_mask
from tests.labels.examples import manifest, record

if TYPE_CHECKING:
    from pathlib import Path


def test_labels_are_counted_by_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Painted are "e" in four columns of four pixels, and "b" in four pixels in their middle.

    Shown are "e", by its other name, in three columns and "b" in the fourth. So of 12 pixels of "e" 8 are
    right, which are 8 of 12 that show it; of "b" none is right, and of "d" nothing is painted.
    """
    (tmp_path / "images").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "images/dog.jpg")
    write_mask(tmp_path / "masks/dog.png", [[2, 2, 2, 1, 0, 3]] * 4)
    (tmp_path / "classes.txt").write_text("0\tbackground\n1\tb\n2\teel\n3\td\n4\tc\n")
    with LabelWriter(tmp_path / "labels", manifest(1)) as writer:
        writer.append(record("photographs/dog.jpg"))
    monkeypatch.setitem(few_photographs.SAME, "e", ("eel",))
    found = painted(LabelSet(tmp_path / "labels"), MaskFolder(tmp_path), ["a", "b", "c", "d", "e"])
    assert found == {
        "b": {"right": 0, "of_shown": 0},
        "d": {"right": None, "of_shown": 0},
        "e": {"right": 0.6667, "of_shown": 0.6667},
    }


def test_a_command_runs_and_its_last_line_is_kept() -> None:
    assert command("--version").endswith(__version__)
    with pytest.raises(subprocess.CalledProcessError):
        command("labels", "show", "nowhere", "--out", "nowhere.jpg")


def test_a_dozen_by_default() -> None:
    assert parse(["--data", "coco"]).count == 12
    assert len(set(few_photographs.EVERYDAY)) == 16
