"""What is counted of each image, kept apart, so that figures can be computed for images drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.evaluation.intervals import Interval, draw_photographs, interval, mean_of_classes
from fmbseg.evaluation.metrics import SegmentationMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DRAWN_FIGURES = ("miou", "miou_present", "pixel_accuracy", "boundary_iou", "accuracy_small")
"""The figures that have intervals."""


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """The counts of N images and K classes that the figures with intervals need.

    In each draw, a class that some photographs of the set show is averaged only if one of them was drawn;
    otherwise every draw would miss the classes of single photographs, and lie below the figure itself.

    Args:
        pixels: (N, K, 3): pixels given their class, pixels of the class, pixels that were given it.
        boundary: (N, K, 2), see :func:`fmbseg.evaluation.boundary.boundary_counts`.
        small: (N, K, 2): pixels of small components given their class, and pixels of small components.
    """

    pixels: NDArray[np.int64]
    boundary: NDArray[np.int64]
    small: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], classes: int) -> ImageCounts:
        """The counts in the lines of measured images, which :meth:`SegmentationMetrics.to_row` wrote."""
        pixels = np.zeros((len(rows), classes, 3), dtype=np.int64)
        boundary = np.zeros((len(rows), classes, 2), dtype=np.int64)
        small = np.zeros((len(rows), classes, 2), dtype=np.int64)
        for index, row in enumerate(rows):
            metrics = SegmentationMetrics.from_row(classes, row)
            counts = metrics.confusion.counts
            pixels[index] = np.stack(
                [np.diagonal(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0)], axis=1
            )
            boundary[index] = metrics.boundary
            small[index] = metrics.sizes[0, :, [2, 1]].T
        return cls(pixels, boundary, small)

    @cached_property
    def drawn(self) -> dict[str, NDArray[np.float64]]:
        """Each of :data:`DRAWN_FIGURES` in each draw of the images, (draws,); the same draws for all."""
        times = draw_photographs(len(self.pixels))
        hits, there, given = np.moveaxis(_sums(times, self.pixels), -1, 0)
        shown = there > 0
        # A class that no image shows counts, as a miss, wherever it was given.
        either = shown | (self.pixels[..., 1].sum(axis=0) == 0)
        boundary, small = _sums(times, self.boundary), _sums(times, self.small)
        union = there + given - hits
        return {
            "miou": mean_of_classes(hits, union, either),
            "miou_present": mean_of_classes(hits, union, shown),
            "pixel_accuracy": _ratio(hits.sum(axis=1), there.sum(axis=1)),
            "boundary_iou": mean_of_classes(boundary[..., 0], boundary[..., 1], shown),
            "accuracy_small": mean_of_classes(small[..., 0], small[..., 1], shown),
        }

    def intervals(self) -> dict[str, Interval]:
        """The interval of each figure."""
        return {name: interval(values) for name, values in self.drawn.items()}

    def drawn_ious(self) -> NDArray[np.float64]:
        """IoU of each class in each draw, (draws, K); nan where a draw shows nothing of a class."""
        hits, there, given = np.moveaxis(_sums(draw_photographs(len(self.pixels)), self.pixels), -1, 0)
        return np.where(there > 0, _ratio(hits, there + given - hits), np.nan)


def _sums(times: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums over the images of each draw, (draws, ...)."""
    sums = times @ counts.reshape(len(counts), -1).astype(np.float64)
    return sums.reshape(len(times), *counts.shape[1:])


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
