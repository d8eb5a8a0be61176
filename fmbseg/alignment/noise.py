"""Pseudo labels are wrong in places: how often a patch takes part, by how sure its mask is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fmbseg.alignment.examples import TrainingExample
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.masks import MaskSet

    Weigh = Callable[[object], NDArray[np.float32]]


class ScoredRecord(Protocol):
    """Labels that know which mask each pixel's label is from, as those of Stage 1 do."""

    @property
    def masks(self) -> MaskSet:
        """With the mask model's predicted IoU."""
        ...

    @property
    def similarities(self) -> NDArray[np.float32]:
        """Of each mask's mean feature to its class."""
        ...

    def top_masks(self) -> NDArray[np.int32]:
        """The mask that each pixel's label is from, -1 for none, (H, W)."""
        ...


@dataclass(frozen=True)
class LabelNoise:
    """How sure labels have to be, and how many of one class there may be.

    A weight is the probability with which a patch takes part in an epoch, drawn anew in each from the seed,
    the epoch and the photograph. Over the epochs this weighs the patches in every sum of every loss, the
    numbers of positives and the denominators included, whatever the loss is; and what does not take part
    costs nothing. The price is variance: use it with several epochs.

    A mask weighs ``(similarity / highest) ** similarity_power * (predicted IoU / highest) ** iou_power``,
    with the highest of all masks of the labels, and negative scores as 0. Masks of the remainder have a
    predicted IoU of 0, which says that it is not known: any ``iou_power`` leaves them out. A patch weighs
    what the pixels of its class in it do on average. With ``class_cap``, the patches of each class are then
    made rarer by one factor, so that they are at most that many an epoch on average.

    Args:
        similarity_power: 0 leaves the similarity out; at least 0.
        iou_power: likewise for the predicted IoU.
        class_cap: patches of a class in an epoch; None for no limit.
    """

    similarity_power: float = 0.0
    iou_power: float = 0.0
    class_cap: int | None = None

    @classmethod
    def of(cls, settings: TrainingSettings) -> LabelNoise:
        """What the settings of a training say."""
        return cls(settings.similarity_power, settings.iou_power, settings.class_cap)

    def weigher(self, records: Iterable[object]) -> Weigh | None:
        """Make what weighs the pixels of a record's labels, (H, W), 0 to 1; None where all weigh 1.

        Args:
            records: all that will be weighed; gone through once for the highest scores.

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
            return weights[cast("ScoredRecord", record).top_masks()]

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


EVERY_PATCH = LabelNoise()


def drawn_labels(example: TrainingExample, seed: int, epoch: int) -> NDArray[np.int16]:
    """The labels of a photograph that take part in an epoch, the others as -1, int16 (h, w).

    The draw depends on the seed, the epoch and the photograph alone, so a training that goes on from a
    checkpoint draws what one that was not interrupted does.
    """
    if example.weights is None:
        return example.labels
    chance = _random("labels", seed, epoch, example).random(example.labels.shape, np.float32)
    return np.where(chance < example.weights, example.labels, np.int16(-1))


def drawn_places(example: TrainingExample, most: int | None, seed: int, epoch: int) -> torch.Tensor | None:
    """The cells of a photograph that take part in an epoch, as places in reading order; None for all.

    They are drawn by the seed, the epoch and the photograph, as :func:`drawn_labels` draws.

    Args:
        example: the photograph.
        most: how many; None for all.
        seed: of the training.
        epoch: from 1.
    """
    cells = example.labels.size
    if most is None or most >= cells:
        return None
    return torch.from_numpy(_random("places", seed, epoch, example).choice(cells, most, replace=False))


def _random(what: str, seed: int, epoch: int, example: TrainingExample) -> np.random.Generator:
    digest = sha256(f"{what}/{seed}/{epoch}/{example.sha256}".encode()).digest()
    return np.random.default_rng(list(digest))


def _scores(record: object) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Similarity and predicted IoU of each mask of a record."""
    if not all(hasattr(record, name) for name in ("masks", "similarities", "top_masks")):
        raise ValueError(
            "labels are weighed by the scores of their masks, and these know of no masks: set "
            "similarity_power and iou_power to 0, or give a label set"
        )
    scored = cast("ScoredRecord", record)
    return scored.similarities, scored.masks.predicted_iou
