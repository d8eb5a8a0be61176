"""Two views that IoU alone does not give: how well outlines are found, and objects of each size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

DILATION_RATIO = 0.02
"""Width of the boundary over the image's diagonal (Cheng et al., "Boundary IoU", CVPR 2021)."""


def boundary_width(size: tuple[int, int]) -> int:
    """Width of the boundary in pixels, for an image of (height, width).

    Example:
        >>> boundary_width((480, 640)), boundary_width((3, 4))
        (16, 1)
    """
    return max(1, round(DILATION_RATIO * float(np.hypot(*size))))


def near_boundary(labels: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Pixels at most ``width`` steps, straight or diagonal, from a pixel with another label.

    The same as each label's mask minus its erosion by a 3 x 3 square, ``width`` times; what lies outside
    the image counts as another label.

    Args:
        labels: (H, W), of any values.
        width: pixels.

    Example:
        >>> near_boundary(np.zeros((1, 5), np.int32), 1).tolist()  # the image's edge is near everywhere
        [[True, True, True, True, True]]
    """
    outside = int(labels.min(initial=0)) - 1
    side = 2 * width + 1
    least = ndimage.minimum_filter(labels, side, mode="constant", cval=outside)
    most = ndimage.maximum_filter(labels, side, mode="constant", cval=outside)
    return np.asarray((least != labels) | (most != labels))


def boundary_counts(
    prediction: NDArray[np.int32], target: NDArray[np.int32], classes: int
) -> NDArray[np.int64]:
    """Boundary pixels in both maps and in either map, by class, (K, 2).

    Args:
        prediction: (H, W), -1 for no class.
        target: (H, W), -1 where pixels do not count; such pixels take part in no boundary.
        classes: K.
    """
    counted = target >= 0
    given = np.where(counted, prediction, -2)  # where nothing counts, both maps end alike
    wanted = np.where(counted, target, -2)
    width = boundary_width((target.shape[0], target.shape[1]))
    of_given = np.where(near_boundary(given, width), given, -1)
    of_wanted = np.where(near_boundary(wanted, width), wanted, -1)
    both = _count(of_given[of_given == of_wanted], classes)
    either = _count(of_given, classes) + _count(of_wanted, classes) - both
    return np.stack([both, either], axis=1)


def _count(values: NDArray[np.int32], classes: int) -> NDArray[np.int64]:
    return np.bincount(values[values >= 0], minlength=classes).astype(np.int64)


SIZES = ("small", "medium", "large")
_LIMITS = (32**2, 96**2)
"""Least number of pixels of a medium and of a large component (COCO's)."""


def size_counts(prediction: NDArray[np.int32], target: NDArray[np.int32], classes: int) -> NDArray[np.int64]:
    """Count the target's connected components by size.

    Pixels of a class that share a side belong to one component.

    Args:
        prediction: (H, W), -1 for no class.
        target: (H, W), -1 where pixels do not count.
        classes: K.

    Returns:
        (3, K, 3) int64: for small, medium and large, by class, the components, their pixels, and those of
        their pixels that were given their class.

    Example:
        >>> one = np.zeros((1, 4), np.int32)
        >>> size_counts(np.array([[0, 0, 0, -1]], np.int32), one, 1)[0].tolist()
        [[1, 4, 3]]
    """
    counts = np.zeros((len(SIZES), classes, 3), dtype=np.int64)
    right = prediction == target
    for index in np.unique(target[target >= 0]).tolist():
        parts, number = ndimage.label(target == index)
        areas = np.bincount(parts.ravel(), minlength=number + 1)[1:]
        hits = np.bincount(parts[right], minlength=number + 1)[1:]
        size = np.digitize(areas, _LIMITS)
        for which in range(len(SIZES)):
            chosen = size == which
            counts[which, index] = chosen.sum(), areas[chosen].sum(), hits[chosen].sum()
    return counts
