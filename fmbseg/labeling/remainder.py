"""What no mask covers, as masks of its own."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from fmbseg.masks import MaskSet


def remainder(masks: MaskSet, *, min_area: float) -> MaskSet:
    """Take the connected regions that no mask covers as further masks.

    A mask model leaves out what it is not sure of: texture, and things between other things. Such a region
    is a mask like others, but nothing is known of its precision: its predicted IoU and stability are 0.

    Args:
        masks: of one image.
        min_area: fraction of the image that a region must have at least.

    Returns:
        The regions, joined over the four sides of a pixel, from top to bottom.
    """
    free = np.ones(masks.size, dtype=np.bool_)
    for index in range(len(masks)):
        free &= ~masks.decode(index)
    regions, _ = ndimage.label(free)
    pixels = np.bincount(regions.ravel())
    large = [index for index in range(1, len(pixels)) if pixels[index] >= min_area * free.size]
    found = [MaskSet.from_masks((regions == index)[None], [0.0], [0.0]) for index in large]
    return MaskSet.concat(found) if found else MaskSet.empty(masks.size)
