"""Text vectors of the classes that a head was trained on, kept so that these words cost nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fmbseg.aligned.config import AlignedEncoderError

if TYPE_CHECKING:
    from fmbseg.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Prototypes:
    """One unit vector of the text space for each class of a vocabulary.

    Args:
        vocabulary: the K classes.
        vectors: unit vectors, (K, D).

    Raises:
        AlignedEncoderError: the shapes differ, or a vector is not finite and of unit length.

    Example:
        >>> from fmbseg.vocabulary import Vocabulary
        >>> known = Prototypes(Vocabulary.of(["cat", "dog"]), torch.eye(2))
        >>> known.of(Vocabulary.of(["dog"]))
        tensor([[0., 1.]])
        >>> known.of(Vocabulary.of(["dog", "otter"])) is None
        True
    """

    vocabulary: Vocabulary
    vectors: torch.Tensor

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.vocabulary):
            raise AlignedEncoderError(
                f"prototypes must be one vector for each of {len(self.vocabulary)} classes; "
                f"got {tuple(self.vectors.shape)}"
            )
        off = ~((self.vectors.float().norm(dim=1) - 1).abs() < 1e-3)  # NaN counts as off, too
        if off.any():
            name = self.vocabulary.names[int(off.nonzero()[0])]
            raise AlignedEncoderError(
                f"the prototype of class {name!r} is not a finite vector of unit length"
            )

    def of(self, vocabulary: Vocabulary) -> torch.Tensor | None:
        """Vectors of the classes of ``vocabulary``, (K', D), or None if any word or template differs."""
        if vocabulary.templates != self.vocabulary.templates:
            return None
        rows = {words: row for row, words in enumerate(self.vocabulary.prompts)}
        wanted = [rows.get(words) for words in vocabulary.prompts]
        if None in wanted:
            return None
        return self.vectors[torch.tensor(wanted, device=self.vectors.device)]
