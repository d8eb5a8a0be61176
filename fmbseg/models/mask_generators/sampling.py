"""Which points of a grid "segment everything" tries, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.settings import EverythingSettings

_COARSE_STRIDES = (8, 4, 2)
_POWER = 8
_WHITENING = 0.75


class Seen(NamedTuple):
    """What samplers learn from a batch of N points; P points are in the grid.

    Attributes:
        likely: (N, P) the probability that each point lies in what a point of the batch found, accepted or
            not, 0 to 1: the mean of the candidates' ``sigmoid(logit)``, weighted by their predicted IoUs,
            times the highest of these.
        inside: (M, P) whether each point lies in each accepted mask.
        predicted_iou: (M,) that of the accepted masks.
        stability: (M,) that of the accepted masks.
    """

    likely: NDArray[np.float32]
    inside: NDArray[np.bool_]
    predicted_iou: NDArray[np.float32]
    stability: NDArray[np.float32]


class PointSampler(Protocol):
    """Chooses points of a grid, a batch at a time, and may learn from what each batch found.

    Attributes:
        learns: whether it makes use of ``tell``.
    """

    learns: bool

    def take(self, count: int) -> NDArray[np.intp]:
        """Return up to ``count`` indices of points to try next; none when done."""
        ...

    def tell(self, seen: Seen) -> None:
        """Learn from what the last batch found."""
        ...


class GridSampler:
    """Every point, row by row.

    Args:
        per_side: points along each side.

    Example:
        >>> GridSampler(2).take(3)
        array([0, 1, 2])
    """

    learns = False

    def __init__(self, per_side: int) -> None:
        self._next, self._count = 0, per_side**2

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the next indices."""
        start, self._next = self._next, min(self._next + count, self._count)
        return np.arange(start, self._next)

    def tell(self, seen: Seen) -> None:
        """Learn nothing."""


class CoverSampler:
    """From coarse to fine, without points in accepted masks that are certain.

    Args:
        per_side: points along each side.
        min_iou: a mask covers points only if its predicted IoU is above this.
        min_stability: and only if its stability is at least this.
    """

    learns = True

    def __init__(self, per_side: int, *, min_iou: float, min_stability: float) -> None:
        self._order = coarse_to_fine(per_side)
        self._covered = np.zeros(per_side**2, np.bool_)
        self._min_iou, self._min_stability = min_iou, min_stability

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the next indices that are not covered."""
        left = self._order[~self._covered[self._order]]
        self._order = left[count:]
        return left[:count]

    def tell(self, seen: Seen) -> None:
        """Cover the points in masks that are certain."""
        sure = (seen.predicted_iou > self._min_iou) & (seen.stability >= self._min_stability)
        self._covered |= seen.inside[sure].any(axis=0)


class AdaptiveSampler:
    """Least redundant point first, up to a given number.

    A point is redundant if it is likely to repeat what the points tried so far have found. For one of
    them, that is ``r``: the probability that it lies in that point's mask (see :class:`Seen`) times how alike
    the encoder finds the two, from 0 to 1. For all together, it is ``(1 - prod(1 - r^8))^(1/8)``: for one
    point ``r`` itself, and more if several agree. The power keeps many faint likenesses from adding up to 1.
    So the inside of a uniform thing is soon finished, whatever becomes of its mask, and a small thing that
    looks different is tried even if it lies in a large mask.

    Args:
        similarity: that of every two points of the grid, (P, P) from 0 to 1; see :func:`point_similarity`.
        most: how many points are tried.
    """

    learns = True

    def __init__(self, similarity: NDArray[np.float32], *, most: int) -> None:
        self._similarity, self._left = similarity, most
        self._log_new = np.zeros(len(similarity))  # logarithm of the product above
        self._tried = np.zeros(len(similarity), np.bool_)
        self._next = first_points(round(len(similarity) ** 0.5))
        self._taken = self._next[:0]

    def take(self, count: int) -> NDArray[np.intp]:
        """Return first a few points spread over the grid, then the least redundant ones."""
        count = min(count, self._left)
        if not len(self._next):
            redundancy = np.where(self._tried, np.inf, -np.expm1(self._log_new))  # to the power, which orders
            order = np.argsort(redundancy, kind="stable")[:count]
            self._next = order[~self._tried[order]]
        self._taken, self._next = self._next[:count], self._next[count:]
        self._tried[self._taken] = True
        self._left -= len(self._taken)
        return self._taken

    def tell(self, seen: Seen) -> None:
        """Raise the redundancy of points that lie in the last batch's masks and look like its points."""
        repeated = seen.likely.astype(np.float64) * self._similarity[self._taken]
        with np.errstate(divide="ignore"):  # for a point that certainly repeats another
            self._log_new += np.log1p(-(repeated**_POWER)).sum(axis=0)


def point_similarity(features: torch.Tensor) -> NDArray[np.float32]:
    """Say how alike the encoder finds every two points, from 0 to 1.

    The features are centred and mostly whitened (each principal component is divided by its strength to the
    power of 3/4), so that what the whole image shares does not count and no single component decides.

    Args:
        features: those of P points, (P, C).

    Returns:
        (P, P), half of one plus the cosine.

    Example:
        >>> point_similarity(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).round(2).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    centred = features.float() - features.float().mean(dim=0)
    left, strength, _ = torch.linalg.svd(centred, full_matrices=False)
    directions = F.normalize(left * strength ** (1 - _WHITENING), dim=1)
    similarity: NDArray[np.float32] = ((1 + directions @ directions.T) / 2).clamp(0, 1).cpu().numpy()
    return similarity


def first_points(per_side: int) -> NDArray[np.intp]:
    """Return the indices of the middles of blocks of 8 x 8 cells, or of the whole grid if it is smaller.

    Example:
        >>> first_points(32).shape, first_points(2).tolist()
        ((16,), [3])
    """
    stride = min(8, per_side)
    grid = np.arange(per_side**2).reshape(per_side, per_side)
    return grid[stride // 2 :: stride, stride // 2 :: stride].ravel()


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
    """Order the indices of a grid: the middles of blocks of 8 x 8 cells, then those of 4 x 4, 2 x 2 and 1.

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


def make_sampler(settings: EverythingSettings, per_side: int, features: torch.Tensor) -> PointSampler:
    """Make the sampler that the settings ask for.

    Args:
        settings: ``sampling`` and what belongs to it are used.
        per_side: points along each side.
        features: the encoder's features at each point of the grid, (P, C).
    """
    if settings.sampling == "grid":
        return GridSampler(per_side)
    if settings.sampling == "cover":
        return CoverSampler(
            per_side, min_iou=settings.cover_predicted_iou, min_stability=settings.cover_stability
        )
    most = max(1, int(settings.max_share * per_side**2))
    return AdaptiveSampler(point_similarity(features), most=most)
