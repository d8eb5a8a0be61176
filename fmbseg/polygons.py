"""Masks as polygons that rasterise to the same pixels: outlines along the pixels' edges."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Ring: TypeAlias = "list[list[int]]"
_Corner: TypeAlias = "tuple[int, int]"


def polygons(mask: NDArray[np.bool_]) -> list[list[Ring]]:
    """Trace a mask.

    Pixels that share a side belong together; pixels that share only a corner do not.

    Args:
        mask: (H, W) bool.

    Returns:
        For each part its outer ring and then its holes, each a closed list of ``[x, y]`` in pixels, y down;
        outer rings run clockwise on the screen, holes the other way.

    Example:
        >>> polygons(np.array([[True, True]]))
        [[[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]]
    """
    parts, _ = ndimage.label(mask)  # by sides
    traced = []
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        rings = _rings(parts[place] == number)
        top, left = place[0].start, place[1].start
        moved = [[[x + left, y + top] for x, y in ring] for ring in rings]
        traced.append(sorted(moved, key=_area, reverse=True))  # the holes' areas are negative
    return traced


def _rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """The closed outlines of a mask, with the mask on the right-hand side."""
    leaving = _edges(mask)
    unseen = {(corner, heading): None for corner, headings in leaving.items() for heading in headings}
    rings = []
    while unseen:
        edge = next(iter(unseen))
        ring = []
        while edge in unseen:
            del unseen[edge]
            ring.append(edge)
            edge = _next(leaving, *edge)
        # Only where the way turns is there a point.
        turns = [
            list(edge[0])
            for before, edge in zip([ring[-1], *ring[:-1]], ring, strict=True)
            if before[1] != edge[1]
        ]
        rings.append([*turns, turns[0]])
    return rings


def _next(
    leaving: dict[_Corner, list[_Corner]], corner: _Corner, heading: _Corner
) -> tuple[_Corner, _Corner]:
    """The edge that follows an edge; where two leave its end, the right one, along the same pixel."""
    end = (corner[0] + heading[0], corner[1] + heading[1])
    ways = leaving[end]
    right = (-heading[1], heading[0])
    return end, ways[0] if len(ways) == 1 else right


def _edges(mask: NDArray[np.bool_]) -> dict[_Corner, list[_Corner]]:
    """For each corner of the outline the headings (dx, dy) of the edges that leave it; one or two."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    leaving: dict[_Corner, list[_Corner]] = {}
    sides = (
        (~padded[:-2, 1:-1], (0, 0), (1, 0)),  # above: to the right, from the pixel's upper left corner
        (~padded[1:-1, 2:], (1, 0), (0, 1)),  # to the right: down
        (~padded[2:, 1:-1], (1, 1), (-1, 0)),  # below: to the left
        (~padded[1:-1, :-2], (0, 1), (0, -1)),  # to the left: up
    )
    for outside, (right, down), heading in sides:
        ys, xs = np.nonzero(inside & outside)
        for x, y in zip((xs + right).tolist(), (ys + down).tolist(), strict=True):
            leaving.setdefault((x, y), []).append(heading)
    return leaving


def _area(ring: Ring) -> float:
    """Twice the signed area; positive where the ring runs clockwise on the screen."""
    return float(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)))


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
