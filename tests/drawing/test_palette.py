"""The palette against VOC's published colours; the colours of pictures chosen again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage import color as skimage_color

from fmbseg.drawing.palette import apart, distinct_colours, oklab, palette

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SKIMAGE: Any = skimage_color  # has no types

# The colours of PASCAL VOC's development kit, from aeroplane to tv/monitor.
VOC = [
    (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128),
    (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128),
    (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
]  # fmt: skip


def test_colours_are_those_of_voc_without_its_black() -> None:
    assert [tuple(colour) for colour in palette(20).tolist()] == VOC
    assert palette(255)[254].tolist() == [224, 224, 192]  # VOC's "void"


def test_every_class_has_its_own_colour_and_none_is_black() -> None:
    colours = palette(998)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 998
    assert (colours.sum(axis=1) > 0).all()
    assert palette(0).shape == (0, 3)


@pytest.mark.parametrize("colours", [palette, distinct_colours])
def test_a_class_keeps_its_colour_among_more_classes(colours: Callable[[int], NDArray[np.uint8]]) -> None:
    np.testing.assert_array_equal(colours(171)[:20], colours(20))


@pytest.mark.parametrize(("count", "least"), [(10, 16), (20, 11), (80, 4.8), (256, 2)])
def test_colours_of_pictures_are_told_apart(count: int, least: float) -> None:
    """By CIEDE2000, which is about one where a difference is just seen; VOC's first 20 come as near as 7."""
    lab = SKIMAGE.rgb2lab(distinct_colours(count)[None])[0]
    distance = SKIMAGE.deltaE_ciede2000(lab[:, None], lab[None]) + 1e9 * np.eye(count)
    assert distance.min() > least


def test_each_colour_is_the_farthest_from_those_before_it() -> None:
    levels = 17 * np.arange(16, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = oklab(colours)
    usable = (lab[:, 0] >= 0.5) & (lab[:, 0] <= 0.93) & (np.hypot(lab[:, 1], lab[:, 2]) >= 0.1)
    colours = colours[usable]
    distances = apart(colours)
    chosen = int(np.flatnonzero((colours == (255, 0, 0)).all(axis=1))[0])
    nearest = np.full(len(colours), np.inf)
    for colour in distinct_colours(256):
        assert colour.tolist() == colours[chosen].tolist()
        nearest = np.minimum(nearest, distances[chosen])
        chosen = int(nearest.argmax())


def test_more_classes_than_colours() -> None:
    many = distinct_colours(998)
    np.testing.assert_array_equal(many[256:512], many[:256])
    assert distinct_colours(0).shape == (0, 3)
