"""From a vocabulary to unit vectors: one a class, or one a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.text_cache import cached_text

if TYPE_CHECKING:
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.vocabulary import Vocabulary

_WORTH_KEEPING = 64
"""Sentences from which on a cache on disk is quicker than the model."""


def embed_vocabulary(encoder: ImageTextEncoder, vocabulary: Vocabulary) -> torch.Tensor:
    """Embed every class as the mean of the unit vectors of its texts, brought back to unit length.

    The texts of a class are all its words in all templates, so that aliases and templates weigh alike.
    Vectors of long vocabularies are kept on disk, for each vocabulary and model.

    Args:
        encoder: whose text space is used.
        vocabulary: of K classes.

    Returns:
        Prototypes (K, D) in float32, in the order of ``vocabulary.names``.
    """
    classes = [index for index, _ in vocabulary.texts()]
    return _embed(encoder, vocabulary, classes, len(vocabulary), "classes")


def embed_words(encoder: ImageTextEncoder, vocabulary: Vocabulary) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed every word by itself, its templates averaged, for scores that take a class's best word.

    Args:
        encoder: whose text space is used.
        vocabulary: whose classes have W words in all.

    Returns:
        Unit vectors (W, D) in float32, and the class of each, (W,); see :func:`best_word`.
    """
    counts = [len(words) for words in vocabulary.prompts]
    owners = [index for index, count in enumerate(counts) for _ in range(count)]
    words = [word for word in range(len(owners)) for _ in vocabulary.templates]
    vectors = _embed(encoder, vocabulary, words, len(owners), "words")
    return vectors, torch.tensor(owners, device=vectors.device)


def best_word(similarities: torch.Tensor, owners: torch.Tensor, classes: int) -> torch.Tensor:
    """Reduce similarities to words to those to classes: each class by its most similar word.

    Args:
        similarities: (..., W).
        owners: class of each word, (W,).
        classes: how many there are, K.

    Returns:
        (..., K).

    Example:
        >>> best_word(torch.tensor([[0.1, 0.3, 0.2]]), torch.tensor([0, 0, 1]), 2)
        tensor([[0.3000, 0.2000]])
    """
    best = similarities.new_full((*similarities.shape[:-1], classes), -torch.inf)
    return best.scatter_reduce(-1, owners.expand_as(similarities), similarities, "amax")


def _embed(
    encoder: ImageTextEncoder, vocabulary: Vocabulary, groups: list[int], count: int, what: str
) -> torch.Tensor:
    """Average the vectors of the sentences of each group, (count, D)."""
    sentences = [text for _, text in vocabulary.texts()]

    def compute() -> torch.Tensor:
        vectors = encoder.encode_text(sentences).float()
        sums = vectors.new_zeros(count, vectors.shape[1])
        sums = sums.index_add(0, torch.tensor(groups, device=vectors.device), vectors)
        return F.normalize(sums, dim=-1)  # the mean differs from the sum by a factor only

    if len(sentences) < _WORTH_KEEPING:
        return compute()
    return cached_text(encoder, f"{what} {vocabulary.fingerprint}", compute)
