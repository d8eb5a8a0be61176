"""New masks from clicks and boxes, by a mask model that knows squares, and one that takes no prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg.masks import MaskSet
from fmbseg.models.mask_generators.superpixels import Superpixels
from fmbseg.review.cutting import ThingCutter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIZE = (40, 60)
IMAGE = np.zeros((*SIZE, 3), np.uint8)
IMAGE[5:20, 5:25] = (200, 0, 0)
IMAGE[8:14, 8:14] = (0, 200, 0)  # a part of it
IMAGE[20:35, 30:50] = (0, 0, 200)


class Colours:
    """A mask model: a point means all that has its colour; a red one means the green part, too."""

    spec, promptable, license = "colours", True, "CC0-1.0"

    def __init__(self) -> None:
        self.encoded = 0

    def begin(self, image: NDArray[np.uint8]) -> Any:
        self.encoded += 1
        return ColourPrompter(image)


class ColourPrompter:
    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        if boxes is not None:
            (x0, y0, x1, y1) = boxes[0].astype(int)
            found = np.zeros(SIZE, bool)
            found[y0:y1, x0:x1] = self.image[y0:y1, x0:x1].any(axis=2)
            return MaskSet.from_masks(found[None])
        found = np.zeros(SIZE, bool)
        for x, y in points[0].astype(int):
            colour = self.image[y, x]
            found |= (self.image == colour).all(axis=2)
            if colour[0]:
                found |= self.image[..., 1] > 0
        return MaskSet.from_masks(found[None])

    def everything(self) -> MaskSet:
        raise AssertionError("prompts are enough")


RED = np.zeros(SIZE, bool)
RED[5:20, 5:25] = True
GREEN = np.zeros(SIZE, bool)
GREEN[8:14, 8:14] = True
BLUE = np.zeros(SIZE, bool)
BLUE[20:35, 30:50] = True


def test_points_and_boxes_with_one_encode() -> None:
    model = Colours()
    cutter = ThingCutter(model)
    np.testing.assert_array_equal(cutter.cut("a", IMAGE, inside=[(20, 10)]), RED)
    np.testing.assert_array_equal(cutter.cut("a", IMAGE, inside=[(20, 10), (40, 30)]), RED | BLUE)
    np.testing.assert_array_equal(cutter.cut("a", IMAGE, inside=[(20, 10)], outside=[(10, 10)]), RED & ~GREEN)
    np.testing.assert_array_equal(cutter.cut("a", IMAGE, box=(28, 18, 55, 38)), BLUE)
    assert model.encoded == 1
    for key in "bcd":
        cutter.cut(key, IMAGE, inside=[(1, 1)])
    cutter.cut("d", IMAGE, inside=[(1, 1)])
    assert model.encoded == 4
    cutter.cut("a", IMAGE, inside=[(1, 1)])  # was put away for others
    assert model.encoded == 5


def test_a_point_outside_on_the_same_thing_leaves_what_is_nearer_to_the_point_inside() -> None:
    found = ThingCutter(Colours()).cut("a", IMAGE, inside=[(32, 25)], outside=[(48, 25)])
    wanted = BLUE.copy()
    wanted[:, 40:] = False
    assert not found[25, 48]
    np.testing.assert_array_equal(found[:, :40], wanted[:, :40])
    assert not found[:, 41:].any()


def test_a_point_outside_in_a_box_takes_a_disc_away() -> None:
    found = ThingCutter(Colours()).cut("a", IMAGE, box=(28, 18, 55, 38), outside=[(40, 28)])
    assert not found[28, 40]
    assert 0 < (BLUE & ~found).sum() < BLUE.sum() / 2 or not found.any()


def test_a_model_without_prompts_gives_the_smallest_mask_that_fits() -> None:
    cutter = ThingCutter(Superpixels(scales=(100,), min_area_fraction=0.005))
    found = cutter.cut("a", IMAGE, inside=[(40, 28)])
    assert found[28, 40]
    assert (found & BLUE).sum() / (found | BLUE).sum() > 0.5  # superpixels are rough
    boxed = cutter.cut("a", IMAGE, box=(30, 20, 50, 35))
    assert (boxed & BLUE).sum() / (boxed | BLUE).sum() >= 0.5  # of all masks the one that fills the box best


def test_nothing_or_beside_the_photograph() -> None:
    cutter = ThingCutter(Colours())
    with pytest.raises(ValueError, match="point at the thing, or draw a box"):
        cutter.cut("a", IMAGE, outside=[(1, 1)])
    for wrong in ({"inside": [(61, 1)]}, {"box": (0, 0, 10, float("nan"))}, {"inside": [(1, -1)]}):
        with pytest.raises(ValueError, match="lies outside the photograph of 60 x 40 pixels"):
            cutter.cut("a", IMAGE, **wrong)
