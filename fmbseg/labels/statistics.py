"""Counts of a label set: photographs, classes, and masks by class and stage."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.labels.record import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.labels.record import LabeledImage
    from fmbseg.vocabulary import Vocabulary


@dataclass(frozen=True)
class StageStatistics:
    """The masks of one class that one stage made.

    Attributes:
        masks: how many.
        kept: of these, drawn for training.
        photographs: with at least one.
        area: mean, as a fraction of the photograph.
        predicted_iou: mean.
        similarity: mean.
    """

    masks: int
    kept: int
    photographs: int
    area: float
    predicted_iou: float
    similarity: float


@dataclass(frozen=True)
class Statistics:
    """What a label set holds.

    Attributes:
        photographs: labelled.
        without_class: photographs in which no class was found.
        without_mask: photographs without a mask.
        with_unknown: photographs of which a part has no label.
        coverage: mean fraction of a photograph that its kept masks cover; of the rest nothing is known.
        detected: for each class, in how many photographs it was found, most frequent first.
        masks: ``{class: {stage: ...}}``, stages by their names.

    Example:
        >>> from fmbseg.vocabulary import Vocabulary
        >>> Statistics.of([], Vocabulary.of(["cat"])).photographs
        0
    """

    photographs: int
    without_class: int
    without_mask: int
    with_unknown: int
    coverage: float
    detected: dict[str, int]
    masks: dict[str, dict[str, StageStatistics]]

    @classmethod
    def of(cls, labels: Iterable[LabeledImage], vocabulary: Vocabulary) -> Statistics:
        """Count records, one at a time.

        Args:
            labels: the records.
            vocabulary: that their class indices point to.
        """
        found: Counter[int] = Counter()
        sums: dict[tuple[int, int], _Sum] = defaultdict(_Sum)
        photographs = without_class = without_mask = with_unknown = 0
        covered = 0.0
        for image in labels:
            photographs += 1
            without_class += not image.detected
            without_mask += not len(image.masks)
            here = image.masks.select(image.kept).coverage
            with_unknown += here < 1
            covered += here
            found.update(image.detected)
            _add(sums, image)
        names = vocabulary.names
        masks: dict[str, dict[str, StageStatistics]] = {}
        for class_id, stage in sorted(sums):
            masks.setdefault(names[class_id], {})[STAGES[stage]] = sums[class_id, stage].mean()
        detected = {names[index]: count for index, count in found.most_common()}
        coverage = covered / max(1, photographs)
        return cls(photographs, without_class, without_mask, with_unknown, coverage, detected, masks)

    @property
    def unknown(self) -> float:
        """Mean fraction of a photograph that has no label, hatched on a contact sheet; 0 of none."""
        return 1 - self.coverage if self.photographs else 0.0

    def count(self, stage: int) -> int:
        """Masks of one stage."""
        return sum(by[STAGES[stage]].masks for by in self.masks.values() if STAGES[stage] in by)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**asdict(self), "unknown": self.unknown}


class _Sum:
    """The masks of a class and stage so far."""

    def __init__(self) -> None:
        self.masks = self.kept = self.photographs = 0
        self.area = self.predicted_iou = self.similarity = 0.0

    def mean(self) -> StageStatistics:
        return StageStatistics(
            masks=self.masks,
            kept=self.kept,
            photographs=self.photographs,
            area=self.area / self.masks,
            predicted_iou=self.predicted_iou / self.masks,
            similarity=self.similarity / self.masks,
        )


def _add(sums: dict[tuple[int, int], _Sum], image: LabeledImage) -> None:
    areas = image.masks.areas / (image.size[0] * image.size[1])
    for pair in sorted(set(zip(image.class_ids.tolist(), image.stages.tolist(), strict=True))):
        one, here = sums[pair], (image.class_ids == pair[0]) & (image.stages == pair[1])
        one.photographs += 1
        one.masks += int(here.sum())
        one.kept += int(image.kept[here].sum())
        one.area += float(areas[here].sum())
        one.predicted_iou += float(image.masks.predicted_iou[here].sum(dtype=np.float64))
        one.similarity += float(image.similarities[here].sum(dtype=np.float64))
