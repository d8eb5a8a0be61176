"""Words compete for pixels: from what a concept model finds of each word to one class a pixel at most.

A concept model is asked for each word by itself, so its masks overlap, and grass fights soil. Here each pixel
goes to one word:

1. A word that is not present takes no part, nor does an instance of too low a score.
2. Where two instances are the same mask (an IoU of ``same_mask`` or more), the one of lower score goes.
3. Of the instances that cover a pixel the smallest lies on top: a part is smaller than its whole. It bids its
   score for the pixel.
4. Every present word also bids what its semantic map says. The highest bid wins; below ``min_pixel_score``
   nobody does.

So the outcome depends neither on the order of the words nor on words that are absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pycocotools import mask as coco

from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.models.contracts import Concept

NOBODY = -1


_OF_FAMILIES: dict[str, dict[str, Any]] = {"grounded": {"min_presence": 0.3}}
"""What suits families of teachers: a detector's presence is its best box's score, which its authors cut at
0.25 to 0.35, and not the probability that SAM 3 gives."""


@dataclass(frozen=True)
class CompetitionSettings:
    """Who takes part in the competition for pixels.

    Args:
        min_presence: a word less likely in the photograph takes no part, 0 to 1.
        min_score: an instance of a lower score takes no part, 0 to 1 (SAM 3's own post-processing: 0.3).
        min_pixel_score: a pixel with no bid this high stays without a word, 0 to 1.
        same_mask: two instances of at least this IoU are one mask, and the better score keeps it.

    Raises:
        ValueError: a value outside its range.
    """

    min_presence: float = 0.5
    min_score: float = 0.3
    min_pixel_score: float = 0.3
    same_mask: float = 0.8

    def __post_init__(self) -> None:
        for name in ("min_presence", "min_score", "min_pixel_score", "same_mask"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")

    @classmethod
    def suited_to(cls, teacher: str) -> CompetitionSettings:
        """The defaults for a teacher, given its spec ``family:name``.

        Example:
            >>> spec = "grounded:IDEA-Research/grounding-dino-tiny+mobilesam"
            >>> [CompetitionSettings.suited_to(one).min_presence for one in (spec, "hf-sam3:facebook/sam3")]
            [0.3, 0.5]
        """
        return cls(**_OF_FAMILIES.get(teacher.partition(":")[0], {}))


class WonMasks(NamedTuple):
    """What the words won in one photograph.

    Attributes:
        present: indices of the classes that are present, ascending.
        masks: M masks without a common pixel: of each instance what it won, then of each class what its
            semantic map won beyond its instances. As ``predicted_iou`` stands the score: an instance's own,
            of a semantic region the mean bid.
        class_ids: (M,) index of each mask's class.
    """

    present: tuple[int, ...]
    masks: MaskSet
    class_ids: NDArray[np.int32]


class Competition:
    """Takes what was found word by word; keeps two maps and run lengths, however many words there are.

    Args:
        size: height and width of the photograph in pixels.
        settings: who takes part.

    Example:
        >>> from fmbseg.models.contracts import Concept
        >>> whole, part = np.ones((1, 2, 3), bool), np.zeros((1, 2, 3), bool)
        >>> part[0, 0, 0] = True
        >>> competition = Competition((2, 3), CompetitionSettings())
        >>> competition.add(0, Concept(1.0, MaskSet.from_masks(whole, [0.9]), None))
        >>> competition.add(1, Concept(1.0, MaskSet.from_masks(part, [0.6]), None))
        >>> won = competition.won()
        >>> won.class_ids.tolist(), won.masks.areas.tolist()
        ([0, 1], [5, 1])
    """

    def __init__(self, size: tuple[int, int], settings: CompetitionSettings) -> None:
        self._size, self._settings = size, settings
        self._present: set[int] = set()
        self._instances: list[tuple[float, int, bytes]] = []
        self._bid = np.zeros(size, np.float32)
        self._bidder = np.full(size, NOBODY, np.int32)

    def add(self, class_id: int, concept: Concept) -> None:
        """Let a word take part; a class may have several, one call each.

        Args:
            class_id: index of the word's class.
            concept: what was found of it.

        Raises:
            ValueError: masks or a map of another size.
        """
        if concept.presence < self._settings.min_presence:
            return
        if concept.masks.size != self._size or (
            concept.semantic is not None and concept.semantic.shape != self._size
        ):
            raise ValueError(f"a concept model gave masks of another size than {self._size}")
        self._present.add(class_id)
        for rle, score in zip(concept.masks.rles, concept.masks.predicted_iou.tolist(), strict=True):
            if score >= self._settings.min_score:
                self._instances.append((score, class_id, rle))
        if concept.semantic is not None:
            # Of equal bids the class that comes first wins, whatever the order in which they are made.
            better = (concept.semantic > self._bid) | (
                (concept.semantic == self._bid) & (class_id < self._bidder)
            )
            self._bid[better] = concept.semantic[better]
            self._bidder[better] = class_id

    def won(self) -> WonMasks:
        """Settle who has which pixel."""
        instances = self._distinct()
        top = self._on_top(instances)
        scores = np.array(
            [score for score, _, _ in instances] + [0.0], np.float32
        )  # the last where none covers
        classes = np.array([class_id for _, class_id, _ in instances] + [NOBODY], np.int32)
        by_instance = scores[top] >= self._bid
        enough = np.where(by_instance, scores[top], self._bid) >= self._settings.min_pixel_score
        # A pixel that a class's own semantic map wins within its instance is the instance's.
        own = (classes[top] == self._bidder) & (top >= 0)
        held = np.where(enough & (by_instance | own), top, NOBODY)
        free = enough & ~by_instance & ~own & (self._bidder != NOBODY)
        won = [
            (_encode(held == index), class_id, score)
            for index, (score, class_id, _) in enumerate(instances)
            if (held == index).any()
        ]
        for class_id in np.unique(self._bidder[free]).tolist():
            region = free & (self._bidder == class_id)
            won.append((_encode(region), class_id, float(self._bid[region].mean())))
        given = np.array([score for _, _, score in won], np.float32)
        return WonMasks(
            present=tuple(sorted(self._present)),
            masks=MaskSet(self._size, tuple(rle for rle, _, _ in won), given, np.ones_like(given)),
            class_ids=np.array([class_id for _, class_id, _ in won], np.int32),
        )

    def _distinct(self) -> list[tuple[float, int, bytes]]:
        """The instances, best first, without those that are another's mask."""
        ordered = sorted(self._instances, key=lambda one: (-one[0], one[1], one[2]))
        kept: list[tuple[float, int, bytes]] = []
        for one in ordered:
            rles = [self._coco(other[2]) for other in kept]
            overlap = coco.iou([self._coco(one[2])], rles, [0] * len(rles)) if rles else np.zeros((1, 0))
            if not (np.asarray(overlap) >= self._settings.same_mask).any():
                kept.append(one)
        return kept

    def _on_top(self, instances: list[tuple[float, int, bytes]]) -> NDArray[np.int32]:
        """Index of the smallest instance at each pixel, -1 where there is none; of equal ones the better."""
        top = np.full(self._size, NOBODY, np.int32)
        areas = [int(coco.area(self._coco(rle))) for _, _, rle in instances]
        for index in sorted(range(len(instances)), key=lambda index: (-areas[index], -index)):
            top[np.asarray(coco.decode(self._coco(instances[index][2])), np.bool_)] = index
        return top

    def _coco(self, rle: bytes) -> dict[str, Any]:
        return {"size": list(self._size), "counts": rle}


def _encode(mask: NDArray[np.bool_]) -> bytes:
    return bytes(coco.encode(np.asfortranarray(mask, np.uint8))["counts"])
