"""The last transformer block in each library, taken apart the same way for the dense variants."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange


def _as_it_is(states: torch.Tensor) -> torch.Tensor:
    return states


class OpenClipBlock:
    """open_clip's ``ResidualAttentionBlock``: one matrix for q, k and v; LayerScale if the model has it."""

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
    """timm's ``Block`` with its ``Attention``: one matrix for q, k and v; norms if the model has them."""

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
    """A layer of transformers with a separate matrix for each of q, k and v; LayerScale if the model has it.

    Args:
        attention: module that holds the three matrices.
        heads: number of its heads.
        out: its output projection.
        norms: those before attention and before the MLP.
        mlp: the layer's MLP.
        scales: LayerScale after attention and after the MLP.
    """

    def __init__(
        self,
        attention: Any,
        heads: int,
        out: Any,
        norms: tuple[Any, Any],
        mlp: Any,
        scales: tuple[Any, Any] = (_as_it_is, _as_it_is),
    ) -> None:
        self._matrices = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._heads, self._out, self._mlp = heads, out, mlp
        (self._norm1, self._norm2), (self._scale1, self._scale2) = norms, scales

    def project(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalise and project to queries, keys and values."""
        normalised = self._norm1(states)
        return _split(torch.cat([one(normalised) for one in self._matrices], dim=-1), self._heads)

    def merge(self, values: torch.Tensor) -> torch.Tensor:
        """Join the heads and project back."""
        joined: torch.Tensor = self._out(rearrange(values, "b n l d -> b l (n d)"))
        return joined

    def add(self, states: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        """Add attention's update to the residual stream."""
        added: torch.Tensor = states + self._scale1(update)
        return added

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply MLP and residual."""
        fed: torch.Tensor = states + self._scale2(self._mlp(self._norm2(states)))
        return fed


def clip_block(layer: Any) -> TransformersBlock:
    """The layer of CLIP, MetaCLIP 2, SigLIP and SigLIP 2."""
    attention = layer.self_attn
    norms = (layer.layer_norm1, layer.layer_norm2)
    return TransformersBlock(attention, attention.num_heads, attention.out_proj, norms, layer.mlp)


def aimv2_block(layer: Any) -> TransformersBlock:
    """The layer of AIMv2: RMSNorm and a gated MLP."""
    attention = layer.attention
    norms = (layer.rms_norm1, layer.rms_norm2)
    return TransformersBlock(attention, attention.num_heads, attention.out_proj, norms, layer.ffn)


def tipsv2_block(layer: Any) -> TransformersBlock:
    """The layer of TIPSv2: DINOv2's, with LayerScale."""
    attention, norms = layer.attention, (layer.norm1, layer.norm2)
    scales = (layer.layer_scale1, layer.layer_scale2)
    heads = attention.num_attention_heads
    return TransformersBlock(attention, heads, attention.o_proj, norms, layer.mlp, scales)


def _split(joined: torch.Tensor, heads: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split (B, L, 3 n d) into queries, keys and values (B, n, L, d)."""
    queries, keys, values = rearrange(joined, "b l (three n d) -> three b n l d", three=3, n=heads).unbind(0)
    return queries, keys, values
