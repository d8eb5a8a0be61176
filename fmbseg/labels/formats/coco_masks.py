"""Masks as COCO JSON writes them: polygons, and compressed or plain run lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco

from fmbseg.labels.formats.coco_file import shown
from fmbseg.labels.run_lengths import check_counts, check_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 1000
"""Pixels that a polygon may reach outside a small image; for a larger image, its longer side."""
_LONGEST_OUTLINE = 10_000_000
"""Pixels along a mask's polygons; pycocotools takes 40 bytes for each."""
_AT_ONCE = 16


def run_lengths_of(segmentation: Any, size: tuple[int, int]) -> bytes | None:
    """Compressed run lengths of an annotation's mask.

    Args:
        segmentation: a list of polygons, each x and y in turn, in pixels; or an object with ``size`` (height
            and width) and ``counts``, compressed run lengths as a string or a list of numbers.
        size: height and width of the image in pixels.

    Returns:
        The run lengths as pycocotools writes them; None for a mask without a pixel in the image.

    Raises:
        ValueError: it cannot be read, is of another size, or reaches far outside the image.

    Example:
        The first two columns of six, 0 pixels outside and 8 inside first:

        >>> run_lengths_of([[0, 0, 2, 0, 2, 4, 0, 4]], (4, 6))
        b'08`0'
        >>> run_lengths_of([[10, 0, 12, 0, 12, 4, 10, 4]], (4, 6)) is None
        True
    """
    if segmentation is None or segmentation in ([], {}):
        return None
    if isinstance(segmentation, list):
        counts = _of_polygons(segmentation, size)
    elif isinstance(segmentation, dict):
        counts = _of_run_lengths(segmentation, size)
    else:
        raise ValueError(f"it is {shown(segmentation)}: it must be a list of polygons, or run lengths")
    if counts is None or not coco.area({"size": list(size), "counts": counts}):
        return None
    return counts


def _of_run_lengths(shape: dict[str, Any], size: tuple[int, int]) -> bytes:
    for name in ("size", "counts"):
        if name not in shape:
            raise ValueError(f"the field {name!r} is missing")
    if not isinstance(shape["size"], list) or shape["size"] != list(size):
        raise ValueError(f"its size {str(shape['size'])[:60]} is not the image's, {list(size)}")
    counts = shape["counts"]
    if isinstance(counts, str):
        if not counts.isascii():
            raise ValueError("its run lengths contain an invalid character")
        check_counts(counts.encode(), size)
        return counts.encode()
    if not isinstance(counts, list):
        raise ValueError(f"its counts are {shown(counts)}: they must be a string or a list of numbers")
    for run in counts:
        if isinstance(run, bool) or not isinstance(run, int):
            raise ValueError(f"its run lengths hold {shown(run)}: each must be a whole number")
    check_runs(counts, size)
    return bytes(coco.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"])


def _of_polygons(polygons: list[Any], size: tuple[int, int]) -> bytes | None:
    given = [polygon for polygon in polygons if polygon != []]
    outline = 0.0
    for polygon in given:
        outline += _outline(_points(polygon), size)
    if outline > _LONGEST_OUTLINE:
        raise ValueError(
            f"its polygons are {outline:.0f} pixels long, more than {_LONGEST_OUTLINE}: write run lengths"
        )
    if not given:
        return None
    masks = coco.frPyObjects(given, *size)
    while len(masks) > 1:  # a few at a time: merging thousands at once takes the square of their number
        parts = range(0, len(masks), _AT_ONCE)
        masks = [coco.merge(masks[start : start + _AT_ONCE]) for start in parts]
    return bytes(masks[0]["counts"])


def _points(polygon: Any) -> NDArray[np.float64]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon is a list of three points or more, x and y in turn")
    try:
        plain = all(type(value) in (int, float) for value in polygon)
        points = np.array(polygon if plain else [np.nan, np.nan], np.float64)
    except OverflowError:  # a whole number of hundreds of digits
        points = np.array([np.nan, np.nan])
    if not np.isfinite(points).all():
        raise ValueError("a polygon has a point that is not a number")
    return points.reshape(-1, 2)


def _outline(points: NDArray[np.float64], size: tuple[int, int]) -> float:
    """Length of a polygon in pixels, as pycocotools walks along it."""
    height, width = size
    margin = max(height, width, _MARGIN)
    outside = ((points < -margin) | (points > (width + margin, height + margin))).any(axis=1)
    if outside.any():
        x, y = points[outside.argmax()]
        raise ValueError(f"its point ({x:g}, {y:g}) lies far outside the image of {width} x {height} pixels")
    steps = np.abs(points - np.roll(points, -1, axis=0)).max(axis=1)
    return float(steps.sum()) + len(points)
