"""A map of classes as few polygons: borders that two regions share are simplified once, for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_OUTSIDE = np.iinfo(np.int32).min


def simplified_outlines(classes: NDArray[np.int32], tolerance: float) -> dict[int, list[NDArray[np.float64]]]:
    """Outline every region of a map with few points; neighbours keep one border, without gap or overlap.

    The regions, those without a class too, form a coverage of the image, whose borders are simplified by
    GEOS's ``coverage_simplify`` (Visvalingam and Whyatt, "Line generalisation by repeated elimination of
    points", 1993): points go where the triangle with their neighbours is smaller than the square of
    ``tolerance``. Corners where three regions meet, and the image's edge, stay.

    Args:
        classes: (H, W), the class at each pixel; negative for none.
        tolerance: pixels, above 0: details smaller than this go.

    Returns:
        For each class, ascending, its polygons (P, 2) of (x, y) in pixels, without the first point again at
        the end. A region with a hole is cut in two through it, as formats like COCO's have no holes.

    Raises:
        ValueError: a tolerance that is not above 0.

    Example:
        >>> stairs = np.tri(8, 8, dtype=np.int32)
        >>> {value: [len(one) for one in found] for value, found in simplified_outlines(stairs, 2.0).items()}
        {0: [3], 1: [5]}
    """
    if not 0 < tolerance < np.inf:
        raise ValueError(f"simplify is {tolerance}: it must be pixels, above 0")
    faces = shapely.get_parts(shapely.polygonize(_borders(classes)))
    inner = shapely.get_coordinates(shapely.point_on_surface(faces)).astype(np.intp)
    values = classes[inner[:, 1], inner[:, 0]]
    simple = shapely.coverage_simplify(faces, tolerance, simplify_boundary=False)
    found: dict[int, list[NDArray[np.float64]]] = {int(value): [] for value in np.unique(values[values >= 0])}
    for value, face in zip(values.tolist(), simple, strict=True):
        if value >= 0:
            found[value] += [shapely.get_coordinates(piece)[:-1] for piece in _without_holes(face)]
    return found


def _borders(classes: NDArray[np.int32]) -> NDArray[np.object_]:
    """Lines along pixels' edges between two classes, from one corner where several meet to the next."""
    padded = np.pad(classes, 1, constant_values=_OUTSIDE)
    ends = []
    for axis, step in ((0, (1, 0)), (1, (0, 1))):  # edges between rows run to the right, between columns down
        inside = padded[:, 1:-1] if axis == 0 else padded[1:-1]
        ys, xs = np.nonzero(np.diff(inside, axis=axis))
        start = np.stack([xs, ys], axis=1)
        ends.append(np.stack([start, start + step], axis=1))
    edges = shapely.multilinestrings(shapely.linestrings(np.concatenate(ends).astype(np.float64)))
    return np.asarray(shapely.simplify(shapely.get_parts(shapely.line_merge(edges)), 0))


def _without_holes(face: shapely.Polygon) -> Iterator[shapely.Polygon]:
    """Cut a polygon by lines down through its holes until none is left."""
    if not face.interiors:
        yield face
        return
    x0, y0, x1, y1 = face.bounds
    left, _, right, _ = face.interiors[0].bounds
    cut = (left + right) / 2
    for box in (shapely.box(x0, y0, cut, y1), shapely.box(cut, y0, x1, y1)):
        for piece in shapely.get_parts(shapely.intersection(face, box)):
            if isinstance(piece, shapely.Polygon) and piece.area > 0:
                yield from _without_holes(piece)
