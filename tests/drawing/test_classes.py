"""Class maps worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.drawing.classes import (
    classes_in,
    colorize,
    draw_classes,
    fit_labels,
    overlay,
    shrink,
    shrunk_size,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_colorize() -> None:
    painted = colorize(np.array([[0, 1], [-1, 0]]), {0: RED, 1: GREEN})
    assert painted.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 0], [255, 0, 0]]]


def test_colorize_refuses_a_class_without_a_colour() -> None:
    with pytest.raises(IndexError):
        colorize(np.array([[3]]), {0: RED, 1: GREEN})


def test_overlay_mixes_and_leaves_what_has_no_class() -> None:
    image = np.full((1, 2, 3), 200, dtype=np.uint8)
    mixed = overlay(image, np.array([[0, -1]]), {0: RED}, alpha=0.25)
    # 0.75 x 200 + 0.25 x (255, 0, 0)
    assert mixed.tolist() == [[[214, 150, 150], [200, 200, 200]]]
    assert mixed.dtype == np.uint8
    assert (image == 200).all()


def test_overlay_pales_what_has_no_class() -> None:
    image = np.array([[[200, 100, 0]]], dtype=np.uint8)
    # A quarter of the colour, 0.35 of the mean, 100, and a tenth of white.
    assert overlay(image, np.array([[-1]]), {0: RED}, dim=True).tolist() == [[[110, 86, 60]]]


def test_overlay_at_both_ends() -> None:
    image = np.full((1, 1, 3), 7, dtype=np.uint8)
    label = np.array([[0]])
    assert overlay(image, label, {0: RED}, alpha=0).tolist() == image.tolist()
    assert overlay(image, label, {0: RED}, alpha=1).tolist() == [[[255, 0, 0]]]


def test_overlay_refuses_other_sizes_and_shares() -> None:
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"\(2, 3, 3\) and labels \(3, 2\)"):
        overlay(image, np.zeros((3, 2), dtype=int), {0: RED})
    with pytest.raises(ValueError, match="alpha is 55"):
        overlay(image, np.zeros((2, 3), dtype=int), {0: RED}, alpha=55)


def test_classes_by_their_area() -> None:
    labels = np.array([[2, 2, 0, -1], [2, 0, 1, -1]])
    assert classes_in(labels, ("cat", "dog", "cow", "hen"), {0: RED, 1: GREEN, 2: BLUE}) == [
        ("cow", BLUE, 3 / 8),
        ("cat", RED, 2 / 8),
        ("dog", GREEN, 1 / 8),
    ]
    assert classes_in(np.full((2, 2), -1), ("cat",), {}) == []


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    grey = np.full((40, 60, 3), 128, dtype=np.uint8)
    assert shrink(grey, 30).shape == (20, 30, 3)
    assert shrink(grey, 600).shape == shrink(grey, None).shape == (40, 60, 3)
    assert shrunk_size((1, 1000), 10) == (1, 10)


def test_labels_are_resized_without_inventing_classes() -> None:
    labels = np.array([[0, 2], [0, 2]], dtype=np.int32)
    resized = fit_labels(labels, (40, 60))
    assert resized.shape == (40, 60)
    assert np.unique(resized).tolist() == [0, 2]


def test_a_map_with_and_without_its_photograph() -> None:
    image = np.full((40, 60, 3), 100, dtype=np.uint8)
    labels = np.full((40, 60), -1, dtype=np.int32)
    labels[:, :30] = 0
    alone = np.asarray(draw_classes(labels, {0: RED}, max_side=30))
    assert alone.shape == (20, 30, 3)
    assert alone[0, 0].tolist() == [255, 0, 0]
    assert alone[0, 29].tolist() == [0, 0, 0]
    over = np.asarray(draw_classes(labels, {0: RED}, image))
    assert over[0, 0].tolist() == [185, 45, 45]  # 0.45 x 100 + 0.55 x (255, 0, 0)
    assert over[0, 59].tolist() == [100, 100, 100]
