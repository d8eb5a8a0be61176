"""Points in the regions of a class map, by hand and against circles drawn pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fmbseg.segmentation.regions import region_points


def rounded(points: list[np.ndarray]) -> list[tuple[float, float]]:
    return [tuple(one[0].tolist()) for one in points]


def test_the_middles_of_squares_by_hand() -> None:
    """Class 3 is a square of 5 pixels; right of it circles of radius 5 fit at rows 4 to 7: the first."""
    labels = np.full((12, 16), 1)
    labels[1:6, 2:7] = 3
    assert rounded(region_points(labels)) == [(11.5, 4.5), (4.5, 3.5)]


def test_two_regions_of_one_class_what_is_small_and_what_has_no_class() -> None:
    labels = np.full((10, 20), -1)
    labels[0:3, 0:3] = labels[4:9, 8:13] = 0  # 9 and 25 of 200 pixels
    labels[9, 19] = 7
    assert rounded(region_points(labels, min_area=0.0)) == [(1.5, 1.5), (10.5, 6.5), (19.5, 9.5)]
    assert rounded(region_points(labels, min_area=0.05)) == [(10.5, 6.5)]
    assert region_points(np.full((4, 4), -1)) == []
    diagonal = np.where(np.eye(2, dtype=bool), 0, 1)  # pixels that share a corner alone are not connected
    assert len(region_points(diagonal, min_area=0.0)) == 4


@pytest.mark.parametrize("seed", range(3))
def test_each_circle_is_the_largest_beside_those_before(seed: int) -> None:
    """By brute force: the distance from every free pixel to every pixel outside, and to the circles."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(18, 24)), 3)
    labels = (noise > 0).astype(np.int32)
    points = region_points(labels, points=3, min_area=0.05)
    circles: dict[int, list[tuple[float, float, float]]] = {}
    for ((column, row),) in points:
        label = int(labels[int(row), int(column)])
        numbered, _ = ndimage.label(labels == label)
        region = numbered == numbered[int(row), int(column)]
        outside = np.argwhere(~np.pad(region, 1)) - 1
        drawn = circles.setdefault(label * 100 + int(numbered[int(row), int(column)]), [])
        free = np.full(labels.shape, -np.inf)
        for place in np.argwhere(region):
            to_outside = np.hypot(*(outside - place).T).min()
            beside = [np.hypot(place[0] - b, place[1] - a) - radius for a, b, radius in drawn]
            free[tuple(place)] = min([to_outside, *beside])
        at = free[int(row), int(column)]
        assert at == pytest.approx(free.max())
        drawn.append((int(column), int(row), at))
    assert max(len(one) for one in circles.values()) == 3
    assert [one.tolist() for one in region_points(labels, points=3, min_area=0.05)] == [
        one.tolist() for one in points
    ]
