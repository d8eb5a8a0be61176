"""The contact sheet: which photographs, which colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmbseg.drawing.palette import distinct_colours
from fmbseg.files import sha256_of
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.sheets import contact_sheet
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import boxes, manifest, record


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """Five grey photographs of 100 x 200; of the middle one the left half is class 4."""
    root = tmp_path / "photographs"
    root.mkdir()
    with LabelWriter(tmp_path / "labels", manifest(5, root=str(root))) as writer:
        for index in range(5):
            Image.new("RGB", (200, 100), (100, 100, 100)).save(root / f"{index}.png")
            half = boxes((0, 0, 100, 100), size=(100, 200))
            one = record(
                f"{index}.png",
                half,
                sha256=sha256_of(root / f"{index}.png"),
                class_ids=np.array([4], np.int32),
                stages=np.array([12], np.int8),
                similarities=np.ones(1, np.float32),
                kept=np.array([index == 2]),
                points=(np.zeros((0, 2), np.float32),),
            )
            writer.append(one)
    return LabelSet(tmp_path / "labels")


def test_masks_lie_over_the_photograph_in_their_colour(labels: LabelSet) -> None:
    sheet = np.asarray(contact_sheet(labels, count=5, columns=3, side=200))
    assert sheet.shape[1] == 3 * 208 + 8
    top = 8 + 50 + 50  # the gap, half of what the photograph is lower than wide, its middle
    colour = np.rint(0.45 * 100 + 0.55 * np.array(distinct_colours(5)[4], float))
    third = 8 + 2 * 208
    assert sheet[top, third + 50].tolist() == colour.tolist()
    assert sheet[top, third + 150].tolist() == [100, 100, 100]
    assert sheet[top, 8 + 50].tolist() == [100, 100, 100]  # not drawn for training
    everything = np.asarray(contact_sheet(labels, count=5, columns=3, side=200, kept_only=False))
    assert everything[top, 8 + 50].tolist() == colour.tolist()


def test_those_shown_are_spread_over_the_set(labels: LabelSet) -> None:
    few = np.asarray(contact_sheet(labels, count=3, columns=3, side=200))
    everyone = np.asarray(contact_sheet(labels, count=9, columns=9, side=200))
    assert few.shape[1] == 3 * 208 + 8
    assert everyone.shape[1] == 5 * 208 + 8
    # First, middle and last: the middle one is third of all.
    np.testing.assert_array_equal(few[8:208, 216:416], everyone[8:208, 8 + 2 * 208 : 208 + 2 * 208])


def test_long_names_are_shortened(labels: LabelSet) -> None:
    long = "a very long name of a class that no line can hold " * 3
    labels._vocabulary = labels.vocabulary.of(["a", "b", "c", "d", long])
    assert contact_sheet(labels, count=5, columns=1, side=100).width == 116


@pytest.mark.parametrize("wrong", [{"count": 0}, {"columns": 0}, {"side": 10}])
def test_numbers_that_are_too_small(labels: LabelSet, wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is {wrong[name]}: it must be"):
        contact_sheet(labels, **wrong)  # type: ignore[arg-type]


def test_a_photograph_that_was_replaced_is_not_drawn_under_old_masks(labels: LabelSet) -> None:
    Image.new("RGB", (200, 100), "blue").save(Path(labels.root) / "2.png")
    with pytest.raises(ValueError, match=r"2\.png was changed since it was labelled: put it back, or label"):
        contact_sheet(labels, count=5)


def test_no_photograph(tmp_path: Path) -> None:
    with LabelWriter(tmp_path, manifest(1)) as writer:
        writer.append_error("0.jpg", "damaged")
    with pytest.raises(ValueError, match="no labelled photograph to show"):
        contact_sheet(LabelSet(tmp_path))
