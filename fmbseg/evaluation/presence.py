"""How well the classes of whole images were found, summed over all images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass
class PresenceScore:
    """Counts predicted and present classes, image by image.

    Args:
        hits: classes that were predicted and are present.
        named: classes that were predicted.
        there: classes that are present.

    Example:
        >>> score = PresenceScore()
        >>> score.update(named={1, 2, 3}, there={2, 4})
        >>> score.precision, score.recall
        (0.3333333333333333, 0.5)
    """

    hits: int = 0
    named: int = 0
    there: int = 0

    def update(self, named: Collection[int], there: Collection[int]) -> None:
        """Count one image: the classes that the model named and those of the ground truth, each once."""
        self.hits += len(set(named) & set(there))
        self.named += len(set(named))
        self.there += len(set(there))

    @property
    def precision(self) -> float:
        """Share of the predicted classes that are present; nan where none was predicted."""
        return self.hits / self.named if self.named else float("nan")

    @property
    def recall(self) -> float:
        """Share of the present classes that were predicted; nan where none is present."""
        return self.hits / self.there if self.there else float("nan")
