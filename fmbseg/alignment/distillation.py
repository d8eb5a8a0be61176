"""Retaining the words of the head that training starts from, while it learns others."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.aligned.prototypes import Prototypes
    from fmbseg.vocabulary import Vocabulary


class OldVocabulary:
    """What a head says of its own words, as a target for the head that is trained from it.

    For every patch, labelled or not, the similarities to the old words make a distribution (softmax over the
    temperature). The new head's is kept close to the old head's by the Kullback-Leibler divergence, as in
    learning without forgetting (Li and Hoiem 2016). Only what tells the old words apart is preserved;
    the vectors are otherwise free to move.

    Args:
        head: where training starts; a copy is kept, which does not change.
        prototypes: text vectors of its words.
        temperature: of both distributions; the same as the loss's.

    Attributes:
        vocabulary: its words.
        head: the copy.
    """

    def __init__(self, head: AlignmentHead, prototypes: Prototypes, temperature: float) -> None:
        self.vocabulary = prototypes.vocabulary
        self.head = copy.deepcopy(head).eval().requires_grad_(False)
        self._words = prototypes.vectors.detach().clone()
        self._temperature = temperature

    def to(self, device: torch.device) -> OldVocabulary:
        """Move to ``device`` and return self."""
        self.head.to(device)
        self._words = self._words.to(device)
        return self

    def divergence(self, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """The divergence, summed over all patches, in nats.

        Args:
            old: what :attr:`head` makes of each patch, unit vectors (N, D).
            new: what the head being trained makes of it.
        """
        wanted, found = self._log_probabilities(old), self._log_probabilities(new)
        return (wanted.exp() * (wanted - found)).sum()

    def _log_probabilities(self, patches: torch.Tensor) -> torch.Tensor:
        return (patches @ self._words.T / self._temperature).log_softmax(dim=1)


def joined_vocabulary(old: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The classes of ``new`` and, after them, those of ``old`` that share no name and no word with them.

    Args:
        old: classes of the head that training started from.
        new: classes of the labels; their templates are used.

    Example:
        >>> from fmbseg.vocabulary import Vocabulary
        >>> old = Vocabulary.of({"cat": "cat", "kitten": "cat", "mug": "mug"})
        >>> joined_vocabulary(old, Vocabulary.of(["dog", "kitten"])).names
        ('dog', 'kitten', 'mug')
    """
    taken = {*new.names, *(word for words in new.prompts for word in words)}
    kept = [
        index
        for index, (name, words) in enumerate(zip(old.names, old.prompts, strict=True))
        if taken.isdisjoint({name, *words})
    ]
    return replace(
        new,
        names=(*new.names, *(old.names[index] for index in kept)),
        prompts=(*new.prompts, *(old.prompts[index] for index in kept)),
        background=new.background
        | {len(new) + position for position, index in enumerate(kept) if index in old.background},
    )
