"""Which points of a grid "segment everything" tries, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.settings import EverythingSettings

_COARSE_STRIDES = (8, 4, 2)


class PointSampler(Protocol):
    """Chooses points of a grid, a batch at a time, and may learn from what each batch brought."""

    def take(self, count: int) -> NDArray[np.intp]:
        """Return up to ``count`` indices of points to try next; none when it is done."""
        ...

    def tell(
        self, inside: NDArray[np.bool_], iou: NDArray[np.float32], stability: NDArray[np.float32]
    ) -> None:
        """Hear of M masks that were accepted: which of all points lie in each (M, P), and scores (M,)."""
        ...


class GridSampler:
    """Every point, row by row.

    Args:
        per_side: points along each side.

    Example:
        >>> GridSampler(2).take(3)
        array([0, 1, 2])
    """

    def __init__(self, per_side: int) -> None:
        self._next, self._count = 0, per_side**2

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the next indices."""
        start, self._next = self._next, min(self._next + count, self._count)
        return np.arange(start, self._next)

    def tell(
        self, inside: NDArray[np.bool_], iou: NDArray[np.float32], stability: NDArray[np.float32]
    ) -> None:
        """Learn nothing."""


class AdaptiveSampler:
    """From coarse to fine, without the points that an accepted mask of high stability already covers.

    Args:
        per_side: points along each side.
        min_iou: a mask covers points only if its predicted IoU is above this.
        min_stability: and if its stability is at least this.
    """

    def __init__(self, per_side: int, *, min_iou: float, min_stability: float) -> None:
        self._order = coarse_to_fine(per_side)
        self._covered = np.zeros(per_side**2, np.bool_)
        self._min_iou, self._min_stability = min_iou, min_stability

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the next indices that are not covered."""
        left = self._order[~self._covered[self._order]]
        self._order = left[count:]
        return left[:count]

    def tell(
        self, inside: NDArray[np.bool_], iou: NDArray[np.float32], stability: NDArray[np.float32]
    ) -> None:
        """Cover the points in masks that are sure."""
        sure = (iou > self._min_iou) & (stability >= self._min_stability)
        self._covered |= inside[sure].any(axis=0)


def grid_points(size: tuple[int, int], per_side: int) -> NDArray[np.float32]:
    """Return the centres (x, y) of ``per_side`` squared cells, row by row, in pixels.

    Example:
        >>> grid_points((4, 8), 2).tolist()
        [[2.0, 1.0], [6.0, 1.0], [2.0, 3.0], [6.0, 3.0]]
    """
    height, width = size
    centres = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(centres * width, centres * height)
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def coarse_to_fine(per_side: int) -> NDArray[np.intp]:
    """Order the indices of a grid: the middles of blocks of 8 cells a side, then of 4, 2 and 1.

    Only block sizes that divide the grid are used, and every point comes once.

    Example:
        >>> coarse_to_fine(4).tolist()
        [10, 5, 7, 13, 15, 0, 1, 2, 3, 4, 6, 8, 9, 11, 12, 14]
    """
    grid = np.arange(per_side**2).reshape(per_side, per_side)
    strides = [stride for stride in (*_COARSE_STRIDES, 1) if per_side % stride == 0]
    rounds = [grid[stride // 2 :: stride, stride // 2 :: stride].ravel() for stride in strides]
    ordered = np.concatenate(rounds)
    _, first = np.unique(ordered, return_index=True)
    return ordered[np.sort(first)]


def make_sampler(settings: EverythingSettings, per_side: int) -> PointSampler:
    """Make the sampler that the settings ask for."""
    if settings.sampling == "grid":
        return GridSampler(per_side)
    return AdaptiveSampler(
        per_side, min_iou=settings.cover_predicted_iou, min_stability=settings.cover_stability
    )
