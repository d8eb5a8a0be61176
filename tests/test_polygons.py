"""Outlines of masks: by hand, and filled in again by counting how often a ray crosses them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from fmbseg.polygons import polygons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.polygons import Ring

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))


def filled(parts: list[list[Ring]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre an odd number of vertical edges to their left encloses."""
    crossings = np.zeros(size, dtype=int)
    for rings in parts:
        for ring in rings:
            for (x0, y0), (x1, y1) in itertools.pairwise(ring):
                if x0 == x1:
                    crossings[min(y0, y1) : max(y0, y1), x0:] += 1
    return np.asarray(crossings % 2 == 1)


def signed_area(ring: Ring) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise(ring)) / 2


def test_a_ring_has_a_hole_by_hand() -> None:
    mask = np.ones((3, 4), bool)
    mask[1, 1:3] = False
    (rings,) = polygons(mask)
    assert [signed_area(ring) for ring in rings] == [12, -2]


def test_pixels_that_touch_by_a_corner_are_two_parts() -> None:
    parts = polygons(np.eye(2, dtype=bool))
    assert [[signed_area(ring) for ring in rings] for rings in parts] == [[1], [1]]


def test_nothing_has_no_outline() -> None:
    assert polygons(np.zeros((2, 3), bool)) == []


@given(MASKS)
@settings(deadline=None, max_examples=150)
def test_filling_the_outlines_gives_the_mask_back(mask: NDArray[np.bool_]) -> None:
    parts = polygons(mask)
    assert np.array_equal(filled(parts, mask.shape), mask)
    assert sum(signed_area(ring) for rings in parts for ring in rings) == mask.sum()
    for rings in parts:
        assert signed_area(rings[0]) > 0
        assert all(signed_area(ring) < 0 for ring in rings[1:])
        for ring in rings:
            assert ring[0] == ring[-1]
            steps = np.diff(np.array(ring), axis=0)
            assert (np.count_nonzero(steps, axis=1) == 1).all()  # along the pixels' edges
            turns = np.concatenate([steps, steps[:1]])
            assert all((a == 0).tolist() != (b == 0).tolist() for a, b in itertools.pairwise(turns))
