"""How far a figure would move on other photographs: intervals by drawing the photographs anew.

Photographs are drawn with replacement, as many as there are, and the figure is computed from each draw; an
interval holds the middle 90 % of the draws (Efron 1979, "Bootstrap Methods: Another Look at the Jackknife",
the percentile interval). Differences between methods are taken draw by draw, on the same photographs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.9


class Interval(NamedTuple):
    """Where most draws lie; both ends are nan where no draw has the figure."""

    low: float
    high: float


def draw_photographs(count: int, *, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """How often each photograph is in each draw, (draws, count); of one seed and count always the same.

    Example:
        >>> draw_photographs(3, draws=2).tolist()
        [[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]
    """
    chosen = np.random.default_rng(seed).integers(0, count, (draws, count))
    places = chosen + count * np.arange(draws)[:, None]
    times = np.bincount(places.ravel(), minlength=draws * count).reshape(draws, count)
    return times.astype(np.float64)


def drawn_figure(
    counts: NDArray[np.integer] | NDArray[np.floating],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """A figure of each draw, (draws,).

    Args:
        counts: what is summed over photographs, (photographs, ...).
        figure: from sums, (draws, ...), to the figure of each draw, (draws,).
        draws: number of draws.
        seed: of the draws.

    Example:
        >>> counts = np.array([[1, 4], [3, 4], [0, 4]])  # of each photograph, right pixels and all pixels
        >>> drawn_figure(counts, lambda sums: sums[:, 0] / sums[:, 1], draws=2).tolist()
        [0.5, 0.25]
    """
    times = draw_photographs(len(counts), draws=draws, seed=seed)
    sums = times @ counts.reshape(len(counts), -1).astype(np.float64)
    return figure(sums.reshape(draws, *counts.shape[1:]))


def interval(values: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The middle part of the draws; those without the figure (nan) are left out.

    Args:
        values: the figure of each draw.
        level: how much of the draws the interval holds.

    Example:
        >>> interval(np.arange(101.0), level=0.5)
        Interval(low=25.0, high=75.0)
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def mean_of_classes(
    part: NDArray[np.float64], whole: NDArray[np.float64], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The mean over classes of part / whole, of each draw, (draws,); nan where no class counts.

    Args:
        part: (draws, K).
        whole: (draws, K).
        counted: (draws, K), which classes are averaged; those whose whole is 0 never are.
    """
    there = counted & (whole > 0)
    values = np.divide(part, whole, out=np.zeros_like(part), where=there)
    number = there.sum(axis=1)
    means = np.full(len(number), np.nan)
    np.divide(values.sum(axis=1), number, out=means, where=number > 0)
    return means
