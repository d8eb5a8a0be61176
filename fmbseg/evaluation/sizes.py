"""How well small, medium and large objects are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
