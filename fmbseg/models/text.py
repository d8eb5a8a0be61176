"""From a vocabulary to unit vectors, one for each class."""

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
    sentences = vocabulary.texts()

    def compute() -> torch.Tensor:
        vectors = encoder.encode_text([text for _, text in sentences]).float()
        classes = torch.tensor([index for index, _ in sentences], device=vectors.device)
        sums = vectors.new_zeros(len(vocabulary), vectors.shape[1]).index_add(0, classes, vectors)
        return F.normalize(sums, dim=-1)  # the mean differs from the sum by a factor only

    if len(sentences) < _WORTH_KEEPING:
        return compute()
    return cached_text(encoder, f"classes {vocabulary.fingerprint}", compute)
