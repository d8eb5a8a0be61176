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

    def __init__(self, *, beside: bool = True) -> None:
        self.encoded, self.beside = 0, beside

    def begin(self, image: NDArray[np.uint8]) -> Any:
        self.encoded += 1
        return BesidePrompter(image) if self.beside else ColourPrompter(image)


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


class BesidePrompter(ColourPrompter):
    """What the points outside mean is no part of the thing."""

    def prompt_thing(self, inside: NDArray[np.float32], outside: NDArray[np.float32]) -> MaskSet:
        on, beside = (self.prompt([points]).decode(0) for points in (inside, outside))
        return MaskSet.from_masks((on & ~beside)[None])


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
    np.testing.assert_array_equal(
        cutter.cut("a", IMAGE, inside=[(20, 10), (40, 30)], outside=[(10, 10)]), (RED | BLUE) & ~GREEN
    )
    np.testing.assert_array_equal(cutter.cut("a", IMAGE, box=(28, 18, 55, 38)), BLUE)
    assert model.encoded == 1
    for key in "bcd":
        cutter.cut(key, IMAGE, inside=[(1, 1)])
    cutter.cut("d", IMAGE, inside=[(1, 1)])
    assert model.encoded == 4
    cutter.cut("a", IMAGE, inside=[(1, 1)])  # was put away for others
    assert model.encoded == 5


def test_a_model_that_cannot_be_told_what_is_beside_a_thing_says_so() -> None:
    with pytest.raises(ValueError, match="colours cannot be told what is not part of a thing: draw a box"):
        ThingCutter(Colours(beside=False)).cut("a", IMAGE, inside=[(20, 10)], outside=[(10, 10)])


def test_a_model_without_prompts_gives_the_smallest_mask_that_fits() -> None:
    cutter = ThingCutter(Superpixels(scales=(100,), min_area_fraction=0.005))
    found = cutter.cut("a", IMAGE, inside=[(40, 28)])
    assert found[28, 40]
    assert (found & BLUE).sum() / (found | BLUE).sum() > 0.5  # superpixels are rough
    beside = cutter.cut("a", IMAGE, inside=[(40, 28)], outside=[(1, 1)])
    assert beside[28, 40]
    assert not beside[1, 1]
    assert not cutter.cut("a", IMAGE, inside=[(40, 28)], outside=[(40, 28)]).any()
    boxed = cutter.cut("a", IMAGE, box=(30, 20, 50, 35))
    assert (boxed & BLUE).sum() / (boxed | BLUE).sum() >= 0.5  # of all masks the one that fills the box best


def test_nothing_or_beside_the_photograph() -> None:
    cutter = ThingCutter(Colours())
    with pytest.raises(ValueError, match="point at the thing, or draw a box"):
        cutter.cut("a", IMAGE, outside=[(1, 1)])
    with pytest.raises(ValueError, match="point at the thing, or draw a box"):
        cutter.cut("a", IMAGE, inside=[(1, 1)], box=(0, 0, 10, 10))
    for wrong in ({"inside": [(61, 1)]}, {"box": (0, 0, 10, float("nan"))}, {"inside": [(1, -1)]}):
        with pytest.raises(ValueError, match="lies outside the photograph of 60 x 40 pixels"):
            cutter.cut("a", IMAGE, **wrong)
