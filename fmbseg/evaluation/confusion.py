"""Intersections and unions summed over a whole data set: the benchmark's mIoU, not a mean over images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_CLASS = -1
"""In a prediction: no class was given, a miss. In a target: the pixel is not counted."""


class ConfusionMatrix:
    """Counts which class the pixels of each class were given.

    Pixels whose target is ``ignore`` are left out, whatever was predicted there (TCL's protocol
    drops them before both histograms). To leave background out, give its pixels that value as well.

    Args:
        num_classes: K.

    Attributes:
        counts: (K, K + 1) int64; row: class of the target; column: class predicted, the last one for none.

    Raises:
        ValueError: fewer than one class.

    Example:
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(np.array([[0, 0, 1, -1]]), np.array([[0, 1, 1, 1]]))
        >>> matrix.iou().round(3).tolist(), round(matrix.miou(), 3), matrix.pixel_accuracy
        ([0.5, 0.333], 0.417, 0.5)
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}: there must be 1 or more")
        self.num_classes = num_classes
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes + 1), dtype=np.int64)

    def update(
        self, prediction: NDArray[np.integer], target: NDArray[np.integer], *, ignore: int = NO_CLASS
    ) -> None:
        """Count the pixels of one image.

        Args:
            prediction: (H, W), 0 to K - 1, or -1 where no class was given.
            target: (H, W), 0 to K - 1, or ``ignore``.
            ignore: target of pixels that do not count.

        Raises:
            ValueError: shapes that differ, or a value that is not a class.
        """
        if prediction.shape != target.shape:
            raise ValueError(
                f"the prediction is {prediction.shape} and the target {target.shape}: sizes must match"
            )
        counted = target != ignore
        given = prediction[counted].astype(np.int64)
        wanted = target[counted].astype(np.int64)
        _check_range(given, NO_CLASS, self.num_classes, "prediction")
        _check_range(wanted, 0, self.num_classes, "target")
        columns = self.num_classes + 1
        cells = wanted * columns + np.where(given == NO_CLASS, self.num_classes, given)
        self.counts += np.bincount(cells, minlength=self.counts.size).reshape(self.counts.shape)

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix.

        Raises:
            ValueError: the number of classes differs.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(f"matrices of {self.num_classes} and {other.num_classes} classes do not add up")
        self.counts += other.counts

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which classes are in the targets, (K,)."""
        return np.asarray(self.counts.sum(axis=1) > 0)

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that were given the right class; nan where none were counted."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else float("nan")

    @property
    def unknown(self) -> float:
        """Share of the counted pixels that were given no class; nan where none were counted."""
        total = int(self.counts.sum())
        return float(self.counts[:, -1].sum()) / total if total else float("nan")

    @property
    def accuracy_of_known(self) -> float:
        """Share of the counted pixels given a class that were given the right one; nan where none were."""
        known = int(self.counts[:, :-1].sum())
        return float(np.trace(self.counts)) / known if known else float("nan")

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class, (K,); nan where it is in neither target nor prediction."""
        intersection = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(axis=1) + self.counts[:, :-1].sum(axis=0) - intersection
        iou = np.full(self.num_classes, np.nan)
        np.divide(intersection, union, out=iou, where=union > 0)
        return iou

    def miou(self, *, present_only: bool = True) -> float:
        """Mean IoU over classes; nan if there is none to average.

        Args:
            present_only: average only the classes in the targets; otherwise those in the predictions too
                (mmsegmentation's mean, where a class that is only predicted counts 0).
        """
        values = self.iou()
        values = values[self.present if present_only else ~np.isnan(values)]
        return float(values.mean()) if values.size else float("nan")


def _check_range(values: NDArray[np.int64], least: int, end: int, what: str) -> None:
    if values.size and (values.min() < least or values.max() >= end):
        raise ValueError(
            f"the {what} holds {values.min()} to {values.max()}: allowed are {least} to {end - 1}"
        )
