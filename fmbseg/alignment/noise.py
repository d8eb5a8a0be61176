"""Pseudo labels are wrong in places: a patch takes part more often the surer its mask is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.alignment.label_source import MaskedRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.alignment.training_example import TrainingExample

    Weigh = Callable[[object], NDArray[np.float32]]


@dataclass(frozen=True)
class LabelNoise:
    """How labels are weighed by their certainty, and how many of one class there may be.

    A weight is the probability that a patch takes part in an epoch, drawn anew in each from the seed, the
    epoch and the photograph. Over the epochs this weighs the patches in every sum of every loss, including
    the numbers of positives and the denominators; and a patch that does not take part costs nothing. The
    price is variance: use it with several epochs.

    A mask weighs ``(similarity / highest) ** similarity_power * (predicted IoU / highest) ** iou_power``,
    with the highest of all masks of the labels, and negative scores as 0. Masks of the remainder have a
    predicted IoU of 0, which means unknown: any ``iou_power`` above 0 leaves them out. A patch weighs as
    much as its class's pixels in it on average. With ``class_cap``, the patches of each class are then made
    rarer by one factor, so that on average there are at most that many an epoch.

    Args:
        similarity_power: 0 leaves the similarity out; at least 0.
        iou_power: 0 leaves the predicted IoU out; at least 0.
        class_cap: patches of a class in an epoch; None for no limit.
    """

    similarity_power: float = 0.0
    iou_power: float = 0.0
    class_cap: int | None = None

    @classmethod
    def of(cls, settings: TrainingSettings) -> LabelNoise:
        """The weighing that a training's settings ask for."""
        return cls(settings.similarity_power, settings.iou_power, settings.class_cap)

    def weigher(self, records: Iterable[object]) -> Weigh | None:
        """Make a function that weighs the pixels of a record's labels, (H, W), 0 to 1; None if all weigh 1.

        Args:
            records: all that will be weighed; read once for the highest scores.

        Raises:
            ValueError: a record that does not know its masks, or no positive score to compare with.
        """
        if not self.similarity_power and not self.iou_power:
            return None
        highest = np.zeros(2, np.float32)
        for record in records:
            similarities, ious = _scores(record)
            highest = np.maximum(highest, [similarities.max(initial=0), ious.max(initial=0)])
        for name, power, most in zip(
            ("similarity", "iou"), (self.similarity_power, self.iou_power), highest, strict=True
        ):
            if power and not most > 0:
                raise ValueError(
                    f"no mask of the labels has a score above 0: set {name}_power to 0, not {power}"
                )

        def weigh(record: object) -> NDArray[np.float32]:
            weights = np.ones(len(_scores(record)[0]) + 1, np.float32)
            weights[-1] = 0  # where -1 points to: pixels without a mask
            for scores, most, power in zip(
                _scores(record), highest, (self.similarity_power, self.iou_power), strict=True
            ):
                if power:
                    weights[:-1] *= (scores.clip(min=0) / most) ** power
            return weights[_masked(record).top_masks()]

        return weigh

    def capped(self, examples: Sequence[TrainingExample], classes: int) -> tuple[TrainingExample, ...]:
        """Make the patches of frequent classes rarer.

        Args:
            examples: of the training, with the weights of their masks.
            classes: how many there are, K.
        """
        if self.class_cap is None:
            return tuple(examples)
        expected = np.zeros(classes)
        for example in examples:
            labelled = example.labels >= 0
            weights = None if example.weights is None else example.weights[labelled]
            expected += np.bincount(example.labels[labelled], weights, minlength=classes)
        factor = np.append(np.minimum(1, self.class_cap / np.maximum(expected, 1)), 0).astype(np.float32)
        return tuple(
            replace(
                example,
                weights=factor[example.labels] * (1 if example.weights is None else example.weights),
            )
            for example in examples
        )


def _scores(record: object) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarity and predicted IoU of each mask of a record."""
    masked = _masked(record)
    return masked.similarities, masked.masks.predicted_iou


def _masked(record: object) -> MaskedRecord:
    if not isinstance(record, MaskedRecord):
        raise ValueError(
            "labels are weighed by the scores of their masks, and these know of no masks: set "
            "similarity_power and iou_power to 0, or give a label set"
        )
    return record
