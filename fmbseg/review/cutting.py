"""New masks from a few clicks or a box, by the mask model; each photograph is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.models.contracts import TakesPointsBeside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.contracts import MaskGenerator, Prompter

_KEPT = 3
"""Photographs whose encodings are kept."""
Point = tuple[float, float]


class ThingCutter:
    """Cuts things out where a person points.

    Points on a thing and points beside it go to the mask model together
    (:class:`~fmbseg.models.contracts.TakesPointsBeside`: every SAM). A model that takes no prompts
    (superpixels) finds all its masks once, and the smallest that fits is taken.

    Args:
        generator: a mask model.
    """

    def __init__(self, generator: MaskGenerator) -> None:
        self._generator = generator
        self._begun: OrderedDict[str, Prompter] = OrderedDict()
        self._everything: dict[str, MaskSet] = {}

    def cut(
        self,
        key: str,
        image: NDArray[np.uint8],
        *,
        inside: Sequence[Point] = (),
        outside: Sequence[Point] = (),
        box: tuple[float, float, float, float] | None = None,
    ) -> NDArray[np.bool_]:
        """Cut one thing out, by points or by a box.

        Args:
            key: of the photograph; its SHA-256.
            image: RGB, (H, W, 3).
            inside: points on the thing, (x, y) in pixels.
            outside: points that are not on it.
            box: x0, y0, x1, y1 around it, in pixels.

        Returns:
            (H, W).

        Raises:
            ValueError: neither a point inside nor a box, or both; one that leaves the image; or points
                outside, of which the model cannot be told.
        """
        if bool(inside) == (box is not None) or (outside and not inside):
            raise ValueError("point at the thing, or draw a box around it")
        _check(image.shape[:2], [*inside, *outside, *([box[:2], box[2:]] if box else [])])
        self._begin(key, image)
        return self._at_points(key, inside, outside) if box is None else self._in_box(key, box)

    def _begin(self, key: str, image: NDArray[np.uint8]) -> None:
        if key not in self._begun:
            self._begun[key] = self._generator.begin(image)
        self._begun.move_to_end(key)
        while len(self._begun) > _KEPT:
            self._everything.pop(self._begun.popitem(last=False)[0], None)

    def _at_points(self, key: str, inside: Sequence[Point], outside: Sequence[Point]) -> NDArray[np.bool_]:
        if not self._generator.promptable:
            return self._smallest(key, inside, outside)
        begun, on = self._begun[key], np.array(inside, np.float32)
        if not outside:
            return begun.prompt([on]).decode(0)
        if not isinstance(begun, TakesPointsBeside):
            raise ValueError(
                f"{self._generator.spec} cannot be told what is not part of a thing: "
                "draw a box, or erase with the brush"
            )
        return begun.prompt_thing(on, np.array(outside, np.float32)).decode(0)

    def _in_box(self, key: str, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
        if self._generator.promptable:
            return self._begun[key].prompt(boxes=np.array([box], np.float32)).decode(0)
        masks = self._all(key)
        if not len(masks):
            return np.zeros(masks.size, np.bool_)
        x0, y0, x1, y1 = (round(value) for value in box)
        shared = np.array([masks.decode(index)[y0:y1, x0:x1].sum() for index in range(len(masks))])
        return masks.decode(int((shared / (masks.areas + (x1 - x0) * (y1 - y0) - shared)).argmax()))

    def _all(self, key: str) -> MaskSet:
        if key not in self._everything:
            self._everything[key] = self._begun[key].everything()
        return self._everything[key]

    def _smallest(self, key: str, inside: Sequence[Point], outside: Sequence[Point]) -> NDArray[np.bool_]:
        masks = self._all(key)
        whole = np.zeros(masks.size, np.bool_)
        for index in np.argsort(masks.areas, kind="stable"):
            mask = masks.decode(int(index))
            if all(_at(mask, one) for one in inside) and not any(_at(mask, one) for one in outside):
                return mask
        return whole


def _at(mask: NDArray[np.bool_], point: Point) -> bool:
    height, width = mask.shape
    return bool(mask[min(int(point[1]), height - 1), min(int(point[0]), width - 1)])


def _check(size: tuple[int, ...], points: Sequence[Sequence[float]]) -> None:
    height, width = size
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise ValueError(f"({x:g}, {y:g}) lies outside the photograph of {width} x {height} pixels")
