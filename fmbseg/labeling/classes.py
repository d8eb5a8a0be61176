"""The vocabulary as Stage 1 scores it: text vectors, and what is taken off classes near everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from fmbseg.models.contracts import ImageTextEncoder

REFERENCE_VOCABULARY = "imagenet1k"
NEIGHBOURS = 10


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


def hubness_of(
    prototypes: torch.Tensor, reference: torch.Tensor, neighbours: int = NEIGHBOURS
) -> torch.Tensor:
    """How near each class lies to everything: its mean similarity to the nearest reference texts.

    A class near many texts is near many images as well, and wins crops that do not show it. Taking this off
    is cross-domain similarity local scaling (Conneau et al. 2018, arXiv 1710.04087, §2.3).

    Args:
        prototypes: one unit vector a class, (K, D).
        reference: unit vectors of other texts, (R, D).
        neighbours: how many of them are averaged, at most R.

    Returns:
        (K,), -1 to 1.

    Example:
        >>> import torch
        >>> hubness_of(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), neighbours=2)
        tensor([0.5000])
    """
    similarity = prototypes @ reference.T
    return similarity.topk(min(neighbours, len(reference)), dim=1).values.mean(dim=1)
