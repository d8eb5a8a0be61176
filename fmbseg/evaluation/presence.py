"""How well the classes of whole images were found, summed over images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass
class PresenceScore:
    """Counts classes named and classes there, image by image.

    Args:
        hits: classes that were named and are there.
        named: classes that were named.
        there: classes that are there.

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
        """Count one image: its classes by the model, and by the ground truth; each counts once."""
        self.hits += len(set(named) & set(there))
        self.named += len(set(named))
        self.there += len(set(there))

    @property
    def precision(self) -> float:
        """Part of the classes named that are there; nan where none was named."""
        return self.hits / self.named if self.named else float("nan")

    @property
    def recall(self) -> float:
        """Part of the classes there that were named; nan where there is none."""
        return self.hits / self.there if self.there else float("nan")
