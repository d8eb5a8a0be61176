"""Masks as polygons that rasterise to the same pixels: outlines between pixels, without holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from fmbseg.polygons import polygons

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int32]]:
    """Trace a mask as polygons along the edges of its pixels.

    Polygons of formats such as COCO's have no holes, so a region with a hole is cut in two through the hole.
    Rasterised by pycocotools, all polygons together are the mask again, pixel by pixel.

    Args:
        mask: (H, W).

    Returns:
        Polygons (P, 2) of (x, y) in pixels, 0 to W and 0 to H, clockwise, without the first point again at
        the end; none for an empty mask.

    Example:
        >>> square = np.zeros((4, 6), bool)
        >>> square[1:3, 2:5] = True
        >>> [polygon.tolist() for polygon in outlines(square)]
        [[[2, 1], [5, 1], [5, 3], [2, 3]]]
    """
    regions, _ = ndimage.label(mask)
    found: list[NDArray[np.int32]] = []
    for number, place in enumerate(ndimage.find_objects(regions), start=1):
        corner = np.array([place[1].start, place[0].start], np.int32)
        for piece, offset in _without_holes(regions[place] == number, corner):
            ((ring,),) = polygons(piece)  # one part, and no hole
            found.append(np.array(ring[:-1], np.int32) + offset)
    return found


def _without_holes(
    region: NDArray[np.bool_], corner: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int32]]]:
    """Cut a region until no connected piece has a hole; yield the pieces, each with its corner."""
    # What touches the outside by a corner is not a hole: the outline runs in and out through that corner.
    holes = ndimage.binary_fill_holes(region, structure=np.ones((3, 3))) & ~region
    if not holes.any():
        yield region, corner
        return
    columns = np.flatnonzero(holes.any(axis=0))
    cut = int(columns[len(columns) // 2])  # a hole lies in this column: left of it and from it on
    for start, stop in ((0, cut), (cut, region.shape[1])):
        pieces, count = ndimage.label(region[:, start:stop])
        for number in range(1, count + 1):
            yield from _without_holes(pieces == number, corner + np.array([start, 0], np.int32))
