"""Outlines against pycocotools' rasteriser: the same pixels come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from fmbseg.polygons import outlines

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rasterised(polygons: list[NDArray[np.int32]], size: tuple[int, int]) -> NDArray[np.bool_]:
    if not polygons:
        return np.zeros(size, np.bool_)
    rles = coco.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *size)
    return np.asarray(coco.decode(coco.merge(rles)), np.bool_)


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(sizes.flatmap(lambda size: arrays(np.bool_, size)))
@settings(deadline=None, max_examples=300)
def test_any_mask_comes_back(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(rasterised(outlines(mask), mask.shape), mask)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_larger_masks_come_back(share: float) -> None:
    mask = np.random.default_rng(0).random((60, 80)) < share
    np.testing.assert_array_equal(rasterised(outlines(mask), (60, 80)), mask)


def test_an_l_by_hand() -> None:
    mask = np.array([[1, 0, 0], [1, 1, 1]], np.bool_)
    assert [one.tolist() for one in outlines(mask)] == [[[0, 0], [1, 0], [1, 1], [3, 1], [3, 2], [0, 2]]]


def test_pixels_that_touch_by_a_corner_are_two_polygons() -> None:
    found = [one.tolist() for one in outlines(np.eye(2, dtype=np.bool_))]
    assert found == [[[0, 0], [1, 0], [1, 1], [0, 1]], [[1, 1], [2, 1], [2, 2], [1, 2]]]


def test_a_ring_is_cut_in_two() -> None:
    ring = np.ones((3, 3), np.bool_)
    ring[1, 1] = False
    found = outlines(ring)
    assert len(found) == 2
    areas = [
        abs(np.sum(one[:, 0] * np.roll(one[:, 1], -1) - one[:, 1] * np.roll(one[:, 0], -1))) / 2
        for one in found
    ]
    assert sorted(areas) == [3, 5]


@given(sizes.flatmap(lambda size: arrays(np.bool_, size)))
@settings(deadline=None, max_examples=150)
def test_polygons_are_simple_pieces_of_the_mask(mask: NDArray[np.bool_]) -> None:
    """Each encloses as many pixels as all together have, runs clockwise, and has a point where it turns."""
    area = 0
    for polygon in outlines(mask):
        after = np.roll(polygon, -1, axis=0)
        steps = after - polygon
        assert (np.count_nonzero(steps, axis=1) == 1).all()  # along the edges of pixels
        assert (steps[:, 0] != 0).tolist() == (np.roll(steps, -1, axis=0)[:, 0] == 0).tolist()  # each turns
        doubled = int((polygon[:, 0] * after[:, 1] - after[:, 0] * polygon[:, 1]).sum())
        assert doubled > 0
        area += doubled // 2
    assert area == mask.sum()
