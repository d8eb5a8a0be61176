"""Crops of an image that "segment everything" looks at besides the whole image, layer by layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from fmbseg.models.mask_generators.candidates import Crop

if TYPE_CHECKING:
    from fmbseg.models.mask_generators.settings import EverythingSettings


class CropPlan(NamedTuple):
    """One crop, and how many points are tried along each side."""

    crop: Crop
    points_per_side: int


def plan_crops(size: tuple[int, int], settings: EverythingSettings) -> list[CropPlan]:
    """Lay out the whole image and then the crops of each layer, 2 x 2, 4 x 4 and so on.

    Kirillov et al. 2023, "Segment Anything" (arXiv 2304.02643), appendix B. Crops of a layer overlap by a
    part of the image's short side, which halves from layer to layer.

    Args:
        size: height and width of the image in pixels.
        settings: ``points_per_side`` and those that begin with ``crop_`` are used.

    Example:
        >>> from fmbseg.models.mask_generators.settings import EverythingSettings
        >>> for plan in plan_crops((300, 400), EverythingSettings(crop_n_layers=1)):
        ...     print(*plan.crop, plan.points_per_side)
        0 0 400 300 32
        0 0 251 201 32
        0 99 251 300 32
        149 0 400 201 32
        149 99 400 300 32
    """
    height, width = size
    plans = [CropPlan(Crop(0, 0, width, height), settings.points_per_side)]
    for layer in range(1, settings.crop_n_layers + 1):
        per_side = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(size) * 2 / per_side)
        tall, wide = (math.ceil((overlap * (per_side - 1) + side) / per_side) for side in size)
        points = max(1, int(settings.points_per_side / settings.crop_n_points_downscale_factor**layer))
        plans += [
            CropPlan(Crop(left, top, min(left + wide, width), min(top + tall, height)), points)
            for left in ((wide - overlap) * column for column in range(per_side))
            for top in ((tall - overlap) * row for row in range(per_side))
        ]
    return plans
