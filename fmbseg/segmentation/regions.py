"""Where to ask a mask model for masks: inside each connected region of a class map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def region_points(
    labels: NDArray[np.integer], *, points: int = 1, min_area: float = 0.01
) -> list[NDArray[np.float32]]:
    """Choose points deep inside each region: the centres of its largest circles that do not overlap.

    A region is a connected set of pixels of one class; pixels that share a side are connected. The first
    circle is the largest that fits into the region (and the image), each other one the largest that fits
    beside those before.

    Args:
        labels: (H, W), the class of each pixel; pixels below 0 are of no region.
        points: circles of a region, at most.
        min_area: regions of a smaller fraction of the image are left out.

    Returns:
        For each point an array (1, 2), (x, y) in pixels, as :meth:`fmbseg.models.contracts.Prompter.prompt`
        takes them: by class, then region by region from the top, the largest circle first.

    Example:
        >>> left_right = np.repeat([[0, 0, 0, 1, 1]], 3, axis=0)
        >>> [one.tolist() for one in region_points(left_right)]
        [[[1.5, 1.5]], [[3.5, 0.5]]]
    """
    found: list[NDArray[np.float32]] = []
    for region, top, left in _regions(labels, min_area * labels.size):
        free = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
        for _ in range(points):
            row, column = np.unravel_index(free.argmax(), free.shape)
            radius = free[row, column]
            if radius <= 0:
                break
            found.append(np.array([[left + column + 0.5, top + row + 0.5]], np.float32))
            free = np.minimum(free, np.hypot(rows - row, columns - column) - radius)
    return found


def _regions(labels: NDArray[np.integer], least: float) -> Iterator[tuple[NDArray[np.bool_], int, int]]:
    """Yield each region of at least so many pixels, cut out, with its top row and left column."""
    for label in np.unique(labels[labels >= 0]).tolist():
        numbered, _ = ndimage.label(labels == label)
        for index, box in enumerate(ndimage.find_objects(numbered), start=1):
            region = numbered[box] == index
            if region.sum() >= least:
                yield region, box[0].start, box[1].start
