"""Indexed PNGs: VOC's values and palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.files import sha256_of
from fmbseg.labels.collection import ChangedLabels
from fmbseg.labels.formats.indexed_png import export_png
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.writer import LabelWriter
from fmbseg.vocabulary import Vocabulary
from tests.labels.examples import boxes, empty_record, manifest, record
from tests.labels.pictures import NAMES, without_pixels, write_labels

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
    with pytest.warns(UserWarning, match="1 photograph missing, so that it could not be checked for changes"):
        export_png(of_classes(tmp_path / "fit", 254, "a.jpg"), tmp_path / "png")
    assert (tmp_path / "png/a.png").is_file()
    with pytest.raises(ValueError, match="holds at most 254 classes, the vocabulary has 255"):
        export_png(of_classes(tmp_path / "more", 255, "a.jpg"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_two_photographs_that_would_share_a_file(tmp_path: Path) -> None:
    labels = of_classes(tmp_path / "labels", 2, "A.png", "a.jpg")
    with pytest.raises(ValueError, match=r"A\.png and a\.jpg would both be a in this format: rename one"):
        export_png(labels, tmp_path / "png")


def test_classes_that_mean_background_or_nothing_have_the_values_that_say_so(tmp_path: Path) -> None:
    """Such a data set is one that `eval` reads: no name stands twice."""
    root = tmp_path / "data" / "images"
    root.mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(root / "a.jpg")
    half, corner, rest = (0, 0, 4, 3), (0, 3, 2, 6), (2, 3, 4, 6)
    words = {
        "names": ["Background", "void", "cat"], "prompts": [["Background"], ["void"], ["cat"]],
        "background": [], "templates": ["{}"],
    }  # fmt: skip
    one = record(
        "a.jpg",
        boxes(half, corner, rest),
        sha256=sha256_of(root / "a.jpg"),
        detected=(0, 1, 2),
        class_ids=np.array([0, 2, 1], np.int32),
        kept=np.ones(3, np.bool_),
    )
    with LabelWriter(tmp_path / "labels", manifest(1, vocabulary=words, root=str(root))) as writer:
        writer.append(one)
    out = tmp_path / "data" / "masks"
    export_png(LabelSet(tmp_path / "labels"), out)
    with Image.open(out / "a.png") as png:
        assert np.asarray(png).tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[0, 0, 0, 255, 255, 255]] * 2
    assert (out / "classes.txt").read_text() == "0\tbackground\n1\tcat\n255\tignore\n"
    (out / "classes.txt").rename(tmp_path / "data" / "classes.txt")
    assert MaskFolder(tmp_path / "data").names == ("cat",)


def test_the_list_of_classes_is_a_vocabulary(labels: LabelSet, tmp_path: Path) -> None:
    export_png(labels, tmp_path / "png")
    with pytest.warns(UserWarning, match="'ignore' means pixels that do not count"):
        read = Vocabulary.of(tmp_path / "png" / "classes.txt")
    assert [name for name in read.names if name != "background"] == NAMES


def test_masks_without_a_pixel_and_photographs_without_a_mask_are_told(
    labels: LabelSet, tmp_path: Path
) -> None:
    emptied = ChangedLabels(labels, without_pixels, {})
    with pytest.warns(UserWarning, match="left out") as told:
        done = export_png(emptied, tmp_path / "png")
    assert [str(one.message).split(": ", 1)[1] for one in told if one.category is UserWarning] == [
        "1 photograph without a mask, though a class was found there",
        "5 masks without a pixel left out",
    ]
    assert (done.photographs, done.without_mask, done.empty_masks) == (4, 1, 5)
    with Image.open(tmp_path / "png" / "a.png") as png:
        assert (np.asarray(png) == 255).all()
