"""The vocabulary as Stage 1 scores it: text vectors, and what is taken off classes near everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fmbseg.models.hubness import hubness_of
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from fmbseg.models.contracts import ImageTextEncoder

REFERENCE_VOCABULARY = "imagenet1k"


class Classes(NamedTuple):
    """K classes to choose from.

    Attributes:
        prototypes: one unit vector a class, (K, D).
        offsets: what is taken off each class's similarity before classes are compared, (K,).
    """

    prototypes: torch.Tensor
    offsets: torch.Tensor

    @classmethod
    def plain(cls, prototypes: torch.Tensor) -> Classes:
        """Classes that are compared by their similarities alone, as in the paper."""
        return cls(prototypes, prototypes.new_zeros(len(prototypes)))

    @classmethod
    def embed(cls, encoder: ImageTextEncoder, vocabulary: Vocabulary, *, hubness: float = 0.0) -> Classes:
        """Embed a vocabulary.

        Args:
            encoder: whose text space is used.
            vocabulary: of K classes.
            hubness: weight of :func:`hubness_of` in the offsets.
        """
        prototypes = embed_vocabulary(encoder, vocabulary)
        if not hubness:
            return cls.plain(prototypes)
        reference = embed_vocabulary(encoder, Vocabulary.of(REFERENCE_VOCABULARY))
        return cls(prototypes, hubness * hubness_of(prototypes, reference))

    def scores(self, vectors: torch.Tensor) -> torch.Tensor:
        """Score vectors (..., D) against every class, (..., K): similarity less offset."""
        return vectors @ self.prototypes.T - self.offsets

    def of(self, indices: Sequence[int]) -> Classes:
        """Some of the classes, in the order of ``indices``."""
        return Classes(self.prototypes[list(indices)], self.offsets[list(indices)])
