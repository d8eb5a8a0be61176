"""Boundary IoU against erosion as its authors do it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fmbseg.evaluation.boundary import boundary_counts, boundary_width, near_boundary


def by_erosion(mask: np.ndarray, width: int) -> np.ndarray:
    """The mask without its erosion by a square of 3 x 3, ``width`` times, the image padded with nothing."""
    padded = np.pad(mask, 1)
    eroded = ndimage.binary_erosion(padded, np.ones((3, 3)), iterations=width)[1:-1, 1:-1]
    return np.asarray(mask & ~eroded)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_every_labels_boundary_at_once(seed: int, height: int, width: int, reach: int) -> None:
    labels = np.random.default_rng(seed).integers(-2, 2, (height, width)).astype(np.int32)
    near = near_boundary(labels, reach)
    for label in np.unique(labels):
        assert np.array_equal(near & (labels == label), by_erosion(labels == label, reach))


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_counts_are_intersection_and_union(seed: int) -> None:
    random = np.random.default_rng(seed)
    prediction = np.kron(random.integers(-1, 3, (3, 4)), np.ones((5, 5), int)).astype(np.int32)
    target = np.kron(random.integers(-1, 3, (3, 4)), np.ones((5, 5), int)).astype(np.int32)
    counts = boundary_counts(prediction, target, 3)
    width = boundary_width(target.shape)
    assert width == 1
    for label in range(3):
        given_ = by_erosion((prediction == label) & (target >= 0), width)
        wanted = by_erosion(target == label, width)
        assert counts[label].tolist() == [(given_ & wanted).sum(), (given_ | wanted).sum()]


@pytest.mark.parametrize(("size", "width"), [((1, 1), 1), ((1000, 1000), 28), ((1024, 2048), 46)])
def test_the_width_is_two_percent_of_the_diagonal(size: tuple[int, int], width: int) -> None:
    assert boundary_width(size) == width


def test_a_square_by_hand() -> None:
    labels = np.zeros((5, 5), np.int32)
    assert near_boundary(labels, 1).sum() == 16
    assert near_boundary(labels, 2).sum() == 24
    assert near_boundary(labels, 3).sum() == 25
    perfect = boundary_counts(labels, labels, 2)
    assert perfect.tolist() == [[16, 16], [0, 0]]
