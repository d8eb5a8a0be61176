"""From a vocabulary to one unit vector a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

if TYPE_CHECKING:
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.vocabulary import Vocabulary


def embed_vocabulary(encoder: ImageTextEncoder, vocabulary: Vocabulary) -> torch.Tensor:
    """Embed every class as the mean of the unit vectors of its texts, brought back to unit length.

    The texts of a class are all its words in all templates, so that aliases and templates weigh alike.

    Args:
        encoder: whose text space is used.
        vocabulary: of K classes.

    Returns:
        Prototypes (K, D) in float32, in the order of ``vocabulary.names``.
    """
    texts = vocabulary.texts()
    vectors = encoder.encode_text([text for _, text in texts]).float()
    classes = torch.tensor([index for index, _ in texts], device=vectors.device)
    sums = vectors.new_zeros(len(vocabulary), vectors.shape[1]).index_add(0, classes, vectors)
    return F.normalize(sums, dim=-1)  # the mean differs from the sum by a factor only
