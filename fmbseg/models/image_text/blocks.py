"""The last block of a transformer of each library, taken apart the same way for the dense variants."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange


class OpenClipBlock:
    """open_clip's ``ResidualAttentionBlock``: one matrix for q, k and v, LayerScale where a model has it."""

    def __init__(self, block: Any) -> None:
        self._block = block

    def project(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalise and project to queries, keys and values."""
        attention = self._block.attn
        joined = F.linear(self._block.ln_1(states), attention.in_proj_weight, attention.in_proj_bias)
        return _split(joined, attention.num_heads)

    def merge(self, values: torch.Tensor) -> torch.Tensor:
        """Join the heads and project back."""
        joined: torch.Tensor = self._block.attn.out_proj(rearrange(values, "b n l d -> b l (n d)"))
        return joined

    def add(self, states: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        """Add attention's update to the residual stream."""
        added: torch.Tensor = states + self._block.ls_1(update)
        return added

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply MLP and residual."""
        fed: torch.Tensor = states + self._block.ls_2(self._block.mlp(self._block.ln_2(states)))
        return fed


class TimmBlock:
    """timm's ``Block`` with its ``Attention``: one matrix for q, k and v, norms where a model has them."""

    def __init__(self, block: Any) -> None:
        self._block = block

    def project(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalise and project to queries, keys and values."""
        attention = self._block.attn
        queries, keys, values = _split(attention.qkv(self._block.norm1(states)), attention.num_heads)
        return attention.q_norm(queries), attention.k_norm(keys), values

    def merge(self, values: torch.Tensor) -> torch.Tensor:
        """Join the heads and project back."""
        attention = self._block.attn
        joined: torch.Tensor = attention.proj(attention.norm(rearrange(values, "b n l d -> b l (n d)")))
        return joined

    def add(self, states: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        """Add attention's update to the residual stream."""
        added: torch.Tensor = states + self._block.ls1(update)
        return added

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply MLP and residual."""
        fed: torch.Tensor = states + self._block.ls2(self._block.mlp(self._block.norm2(states)))
        return fed


class TransformersBlock:
    """The encoder layer of CLIP, SigLIP and SigLIP 2 in transformers: a matrix each for q, k and v."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def project(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalise and project to queries, keys and values."""
        attention = self._layer.self_attn
        normalised = self._layer.layer_norm1(states)
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        return _split(torch.cat([one(normalised) for one in projections], dim=-1), attention.num_heads)

    def merge(self, values: torch.Tensor) -> torch.Tensor:
        """Join the heads and project back."""
        joined: torch.Tensor = self._layer.self_attn.out_proj(rearrange(values, "b n l d -> b l (n d)"))
        return joined

    def add(self, states: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        """Add attention's update to the residual stream."""
        return states + update

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply MLP and residual."""
        fed: torch.Tensor = states + self._layer.mlp(self._layer.layer_norm2(states))
        return fed


def _split(joined: torch.Tensor, heads: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Part (B, L, 3 n d) into queries, keys and values (B, n, L, d)."""
    queries, keys, values = rearrange(joined, "b l (three n d) -> three b n l d", three=3, n=heads).unbind(0)
    return queries, keys, values
