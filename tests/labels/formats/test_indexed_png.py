"""Indexed PNGs: VOC's values and palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmbseg.labels.formats.indexed_png import export_png
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import empty_record, manifest
from tests.labels.pictures import NAMES, write_labels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def test_values_and_palette(labels: LabelSet, tmp_path: Path) -> None:
    folder = export_png(labels, tmp_path / "png").path
    for image in labels:
        with Image.open((folder / image.path).with_suffix(".png")) as png:
            assert png.mode == "P"
            values = np.asarray(png)
            colours = np.array(png.getpalette()).reshape(-1, 3)
        painted = image.label_map()
        np.testing.assert_array_equal(values, np.where(painted < 0, 255, painted + 1))
        # The first colours of the development kit's colour map, and that of its void.
        assert colours[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
        assert colours[255].tolist() == [224, 224, 192]
    lines = (folder / "classes.txt").read_text("utf-8").splitlines()
    assert lines == [
        "0\tbackground",
        *(f"{value}\t{name}" for value, name in enumerate(NAMES, 1)),
        "255\tignore",
    ]


def of_classes(folder: Path, count: int, *paths: str) -> LabelSet:
    names = [f"c{index}" for index in range(count)]
    words = {
        "names": names, "prompts": [[name] for name in names], "background": [], "templates": ["{}"],
    }  # fmt: skip
    with LabelWriter(folder, manifest(len(paths), vocabulary=words)) as writer:
        for path in paths:
            writer.append(empty_record(path))
    return LabelSet(folder)


def test_254_classes_fit_and_no_more(tmp_path: Path) -> None:
    export_png(of_classes(tmp_path / "fit", 254, "a.jpg"), tmp_path / "png")
    assert (tmp_path / "png/a.png").is_file()
    with pytest.raises(ValueError, match="holds at most 254 classes, the vocabulary has 255"):
        export_png(of_classes(tmp_path / "more", 255, "a.jpg"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_two_photographs_that_would_share_a_file(tmp_path: Path) -> None:
    labels = of_classes(tmp_path / "labels", 2, "A.png", "a.jpg")
    with pytest.raises(ValueError, match=r"A\.png and a\.jpg would both be a in this format: rename one"):
        export_png(labels, tmp_path / "png")
