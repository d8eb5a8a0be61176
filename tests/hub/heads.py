"""Heads to push: small, with random weights, over backbones that a head from the Hub may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone

WORDS = Vocabulary.of(["cat", "dog", "sofa"])
DIM = 16


def make_encoder(seed: int = 0, backbone: Backbone | None = None, **training: Any) -> AlignedEncoder:
    """An encoder whose words need no text encoder; another seed makes another head."""
    backbone = TinyBackbone() if backbone is None else backbone
    generator = torch.Generator().manual_seed(7)
    vectors = functional.normalize(torch.randn(len(WORDS), DIM, generator=generator), dim=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = AlignmentHead(backbone.dim, DIM)
    text = "hf:openai/clip-vit-base-patch16"
    return AlignedEncoder(backbone, head, text, prototypes=Prototypes(WORDS, vectors), training=training)


def digest_of(encoder: AlignedEncoder) -> str:
    """What tells heads apart."""
    return str(encoder.describe()["head_sha256"])
