"""Maps as few polygons: no gaps, no overlaps, close to the map, and exact where it is hand-worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from pycocotools import mask as coco
from scipy import ndimage

from fmbseg.coverage import simplified_outlines

if TYPE_CHECKING:
    from numpy.typing import NDArray


def blobs(seed: int, count: int = 4, size: tuple[int, int] = (60, 80)) -> NDArray[np.int32]:
    """Smooth regions of several classes, -1 among them, with islands in one another."""
    random = np.random.default_rng(seed)
    heights = np.stack([ndimage.gaussian_filter(random.normal(size=size), 4) for _ in range(count)])
    return np.asarray(heights.argmax(axis=0) - 1, np.int32)


def painted(polygons: list[NDArray[np.float64]], size: tuple[int, int]) -> NDArray[np.bool_]:
    rles = coco.frPyObjects([one.ravel().tolist() for one in polygons], *size)
    return np.asarray(coco.decode(coco.merge(rles)), bool)


@pytest.mark.parametrize("tolerance", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_polygons_are_valid_and_leave_neither_gap_nor_overlap(seed: int, tolerance: float) -> None:
    classes = blobs(seed)
    # With no pixel left out, the polygons of all classes must fill the image exactly.
    whole = simplified_outlines(classes - classes.min(), tolerance)
    polygons = [shapely.Polygon(points) for each in whole.values() for points in each]
    assert all(polygon.is_valid for polygon in polygons)
    assert sum(polygon.area for polygon in polygons) == pytest.approx(classes.size)
    assert shapely.union_all(polygons).area == pytest.approx(classes.size)


@pytest.mark.parametrize(("tolerance", "least"), [(0.5, 0.999), (1.5, 0.92), (4.0, 0.75)])
def test_regions_stay_close_to_the_map(tolerance: float, least: float) -> None:
    classes = blobs(2)
    found = simplified_outlines(classes, tolerance)
    assert list(found) == [0, 1, 2]
    for value, polygons in found.items():
        mask, again = classes == value, painted(polygons, classes.shape)
        assert (mask & again).sum() / (mask | again).sum() >= least


def test_a_larger_tolerance_leaves_fewer_points() -> None:
    classes = blobs(3)
    counts = [
        sum(len(one) for each in simplified_outlines(classes, tolerance).values() for one in each)
        for tolerance in (0.5, 1.5, 4.0)
    ]
    assert counts[0] > 2 * counts[1] > 3 * counts[2]


def test_neighbours_keep_the_same_border() -> None:
    stairs = np.tri(9, 9, dtype=np.int32)
    found = simplified_outlines(stairs, 2.0)
    above, below = ({tuple(point) for point in found[value][0].tolist()} for value in (0, 1))
    assert above & below == {(1.0, 0.0), (9.0, 8.0)}  # the two ends of the stairs, on the image's edge


def test_a_region_in_a_region_is_cut_around() -> None:
    ring = np.zeros((12, 12), np.int32)
    ring[4:8, 4:8] = -1
    polygons = simplified_outlines(ring, 0.5)[0]
    assert len(polygons) == 2
    np.testing.assert_array_equal(painted(polygons, ring.shape), ring == 0)


def test_one_class_everywhere_is_one_rectangle() -> None:
    assert simplified_outlines(np.full((3, 5), 7, np.int32), 1.0)[7][0].shape == (4, 2)
    assert simplified_outlines(np.full((3, 5), -1, np.int32), 1.0) == {}


@pytest.mark.parametrize("tolerance", [0, -1, float("inf"), float("nan")])
def test_a_tolerance_that_is_none(tolerance: float) -> None:
    with pytest.raises(ValueError, match="it must be pixels, above 0"):
        simplified_outlines(np.zeros((2, 2), np.int32), tolerance)
