"""A frozen model is identified by its output for one fixed input, so that other weights are noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone, ImageTextEncoder

_SENTENCE = "fmbseg knows a model by what it makes of this sentence."
_SAME = 0.005  # relative distance below which weights count as the same: devices differ by less


@torch.no_grad()
def probe_backbone(backbone: Backbone, device: torch.device | str) -> torch.Tensor:
    """The output of a backbone on ``device`` for noise at its native size: float32 (1, dim, h, w)."""
    side = max(1, backbone.native_size // backbone.stride) * backbone.stride
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return backbone.encode(noise.to(device)).float()


@torch.no_grad()
def probe_text_encoder(encoder: ImageTextEncoder) -> torch.Tensor:
    """A text encoder's output for one sentence: float32 (1, D), on its device."""
    return encoder.encode_text([_SENTENCE]).float()


def same_weights(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two probes come from the same weights, on whatever devices they were computed.

    Example:
        >>> vector = torch.tensor([[0.6, 0.8]])
        >>> same_weights(vector, vector * 1.001), same_weights(vector, vector.flip(1))
        (True, False)
    """
    one, other = one.cpu(), other.cpu()
    if one.shape != other.shape:
        return False
    return bool(torch.linalg.vector_norm(one - other) <= _SAME * torch.linalg.vector_norm(one))
