"""A record's masks as polygons: exact, or with few points."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from fmbseg.coverage import simplified_outlines
from fmbseg.labels.formats.coco_masks import run_lengths_of
from fmbseg.masks import MaskSet
from fmbseg.polygons import outlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labels.record import LabeledImage

Outlines: TypeAlias = "list[NDArray[np.int32] | NDArray[np.float64]]"
_DECIMALS = 2


def outlined(image: LabeledImage, simplify: float = 0.0) -> tuple[LabeledImage, list[Outlines]]:
    """Outline each mask of a record.

    Args:
        image: with masks of at least one pixel.
        simplify: 0 for polygons that rasterise to the same pixels; else pixels, see
            :func:`~fmbseg.coverage.simplified_outlines`.

    Returns:
        The record with the masks that its polygons rasterise to, and for each mask its polygons (P, 2) of
        (x, y) in pixels. A mask that would lose its last pixel keeps its exact outline.

    Raises:
        ValueError: polygons are to be simplified, but masks overlap.
    """
    exact: list[Outlines] = [[*outlines(image.masks.decode(index))] for index in range(len(image.masks))]
    if not simplify or not len(image.masks):
        return image, exact
    if image.masks.areas.sum() > round(image.masks.coverage * image.size[0] * image.size[1]):
        raise ValueError(
            f"{image.path}: masks overlap, so their polygons cannot be simplified together: merge them "
            "first, with class_regions(labels) or --regions"
        )
    simple = simplified_outlines(image.top_masks(kept_only=False), simplify)
    found: list[Outlines] = []
    rles: list[bytes] = []
    for index in range(len(image.masks)):
        polygons: Outlines = [one.round(_DECIMALS) for one in simple[index]]
        counts = run_lengths_of(flat(polygons), image.size)
        found.append(polygons if counts else exact[index])
        rles.append(counts or image.masks.rles[index])
    masks = MaskSet(image.size, tuple(rles), image.masks.predicted_iou, image.masks.stability)
    return replace(image, masks=masks), found


def flat(polygons: Outlines) -> list[list[float]]:
    """Each polygon as COCO has it: x and y in turn, whole numbers as such.

    Example:
        >>> import numpy as np
        >>> flat([np.array([[0.0, 1.5], [2.0, 3.0], [4.0, 0.0]])])
        [[0, 1.5, 2, 3, 4, 0]]
    """
    return [[_number(value) for value in one.ravel().tolist()] for one in polygons]


def _number(value: float) -> float:
    return int(value) if value == int(value) else value


def points_of(polygons: Sequence[Outlines]) -> int:
    """Points of all masks' polygons."""
    return sum(len(one) for each in polygons for one in each)
