"""Everything counted over a data set, and the figures computed from the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.evaluation.boundary import SIZES, boundary_counts, size_counts
from fmbseg.evaluation.confusion import ConfusionMatrix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class SegmentationMetrics:
    """Counts of pixels, components and boundaries, summed over images; integers, so order never matters.

    Args:
        num_classes: K.

    Attributes:
        confusion: of all pixels.
        sizes: (3, K, 3), see :func:`fmbseg.evaluation.boundary.size_counts`.
        boundary: (K, 2), see :func:`fmbseg.evaluation.boundary.boundary_counts`.

    Example:
        >>> metrics = SegmentationMetrics(2)
        >>> metrics.update(np.array([[0, 1, 1]], np.int32), np.array([[0, 0, 1]], np.int32))
        >>> {name: round(metrics.figures()[name], 3) for name in ("miou", "pixel_accuracy")}
        {'miou': 0.5, 'pixel_accuracy': 0.667}
    """

    def __init__(self, num_classes: int) -> None:
        self.confusion = ConfusionMatrix(num_classes)
        self.sizes = np.zeros((len(SIZES), num_classes, 3), dtype=np.int64)
        self.boundary = np.zeros((num_classes, 2), dtype=np.int64)

    def update(self, prediction: NDArray[np.int32], target: NDArray[np.int32]) -> None:
        """Count one image.

        Args:
            prediction: (H, W), 0 to K - 1, or -1 where no class was given: a miss.
            target: (H, W), 0 to K - 1, or -1 where pixels do not count.

        Raises:
            ValueError: shapes that differ, or a value that is not a class.
        """
        self.confusion.update(prediction, target)
        classes = self.confusion.num_classes
        self.sizes += size_counts(prediction, target, classes)
        self.boundary += boundary_counts(prediction, target, classes)

    def merge(self, other: SegmentationMetrics) -> None:
        """Add the counts of another data set or part.

        Raises:
            ValueError: the number of classes differs.
        """
        self.confusion.merge(other.confusion)
        self.sizes += other.sizes
        self.boundary += other.boundary

    def to_row(self) -> dict[str, Any]:
        """The counts that are not zero, as JSON values."""
        counts = {"confusion": self.confusion.counts, "sizes": self.sizes, "boundary": self.boundary}
        return {name: _sparse(values) for name, values in counts.items()}

    @classmethod
    def from_row(cls, num_classes: int, row: Mapping[str, Any]) -> SegmentationMetrics:
        """The metrics that :meth:`to_row` turned into ``row``.

        Raises:
            ValueError: a row for another number of classes.
        """
        made = cls(num_classes)
        try:
            _fill(made.confusion.counts, row["confusion"])
            _fill(made.sizes, row["sizes"])
            _fill(made.boundary, row["boundary"])
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"counts of {num_classes} classes cannot be read: {error!r}") from error
        return made

    def figures(self) -> dict[str, float]:
        """The figures of the whole set, each from 0 to 1; nan where there is nothing to average.

        ``miou`` averages the classes in the targets or the predictions (mmsegmentation's mean);
        ``miou_present`` only those in the targets. ``unknown`` is the share of pixels that were given no
        class.
        """
        boundary = self.boundary_iou()[self.confusion.present]
        recall = self.accuracy()
        sizes = {
            f"accuracy_{name}": _mean(_ratio(counts[:, 2], counts[:, 1]))
            for name, counts in zip(SIZES, self.sizes, strict=True)
        }
        return {
            "miou": self.confusion.miou(present_only=False),
            "miou_present": self.confusion.miou(),
            "pixel_accuracy": self.confusion.pixel_accuracy,
            "mean_accuracy": _mean(recall),
            "frequency_weighted_iou": self.frequency_weighted_iou(),
            "boundary_iou": _mean(boundary),
            **sizes,
            "unknown": self.confusion.unknown,
            "accuracy_of_known": self.confusion.accuracy_of_known,
        }

    def accuracy(self) -> NDArray[np.float64]:
        """Share of each class's pixels that were given that class, (K,); nan for a class in no target."""
        counts = self.confusion.counts
        return _ratio(np.diagonal(counts), counts.sum(axis=1))

    def boundary_iou(self) -> NDArray[np.float64]:
        """Boundary IoU of each class over the set, (K,); nan for a class that never occurs."""
        return _ratio(self.boundary[:, 0], self.boundary[:, 1])

    def frequency_weighted_iou(self) -> float:
        """Mean IoU with each class weighted by its share of the counted pixels."""
        there = self.confusion.counts.sum(axis=1)
        present = there > 0
        if not present.any():
            return float("nan")
        return float((self.confusion.iou()[present] * there[present]).sum() / there.sum())

    def per_class(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """One row per class: name, IoU, accuracy, boundary IoU, true and predicted pixels; None for nan."""
        counts = self.confusion.counts
        columns = zip(
            names,
            self.confusion.iou(),
            self.accuracy(),
            self.boundary_iou(),
            counts.sum(axis=1).tolist(),
            counts[:, :-1].sum(axis=0).tolist(),
            strict=True,
        )
        return [
            {
                "class": name,
                "iou": number(iou),
                "accuracy": number(accuracy),
                "boundary_iou": number(boundary),
                "pixels": there,
                "pixels_given": given,
            }
            for name, iou, accuracy, boundary, there, given in columns
        ]


def number(value: float) -> float | None:
    """A figure for JSON, which has no nan."""
    return None if np.isnan(value) else float(value)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.full(len(whole), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _mean(values: NDArray[np.float64]) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def _sparse(counts: NDArray[np.int64]) -> list[list[int]]:
    places = np.argwhere(counts)
    rows: list[list[int]] = np.concatenate([places, counts[tuple(places.T)][:, None]], axis=1).tolist()
    return rows


def _fill(counts: NDArray[np.int64], rows: list[list[int]]) -> None:
    if rows:
        table = np.array(rows, dtype=np.int64)
        if table.shape[1] != counts.ndim + 1:
            raise IndexError(f"{table.shape[1]} columns for {counts.ndim} dimensions")
        counts[tuple(table[:, :-1].T)] = table[:, -1]
