"""The last transformer block in each library, taken apart the same way for the dense variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange

if TYPE_CHECKING:
    from collections.abc import Callable


class Projected(NamedTuple):
    """Queries, keys and values of ``n`` heads of ``d`` dimensions, each (B, n, L, d)."""

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


def _as_it_is(states: torch.Tensor) -> torch.Tensor:
    return states


@dataclass(frozen=True)
class LastBlock:
    """A pre-norm transformer block, taken apart.

    Args:
        attend_from: projects normalised tokens (B, L, C) to queries, keys and values.
        out: projects the joined heads (B, L, n d) back to (B, L, C).
        norms: those before attention and before the MLP.
        mlp: the block's MLP.
        scales: LayerScale after attention and after the MLP, if the model has it.
        values_from: as ``attend_from``, but for the values alone, where these can be had without the rest.
    """

    attend_from: Callable[[torch.Tensor], Projected]
    out: Callable[[torch.Tensor], torch.Tensor]
    norms: tuple[Any, Any]
    mlp: Any
    scales: tuple[Any, Any] = (_as_it_is, _as_it_is)
    values_from: Callable[[torch.Tensor], torch.Tensor] | None = None

    def project(self, states: torch.Tensor) -> Projected:
        """Normalise (B, L, C) and project it to queries, keys and values."""
        return self.attend_from(self.norms[0](states))

    def values(self, states: torch.Tensor) -> torch.Tensor:
        """Normalise (B, L, C) and project it to values (B, n, L, d)."""
        if self.values_from is None:
            return self.project(states).values
        return self.values_from(self.norms[0](states))

    def first_token(self, states: torch.Tensor) -> torch.Tensor:
        """What the block makes of the first of its tokens (B, L, C) alone: (B, 1, C)."""
        queries, keys, values = self.project(states)
        attended = F.scaled_dot_product_attention(queries[:, :, :1], keys, values)
        return self.feed_forward(self.add(states[:, :1], self.merge(attended)))

    def merge(self, values: torch.Tensor) -> torch.Tensor:
        """Join the heads of (B, n, L, d) and project them back to (B, L, C)."""
        return self.out(rearrange(values, "b n l d -> b l (n d)"))

    def add(self, states: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        """Add attention's update to the residual stream, (B, L, C)."""
        added: torch.Tensor = states + self.scales[0](update)
        return added

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply the block's second half, MLP and residual, (B, L, C)."""
        fed: torch.Tensor = states + self.scales[1](self.mlp(self.norms[1](states)))
        return fed


def open_clip_block(block: Any) -> LastBlock:
    """open_clip's ``ResidualAttentionBlock``: one matrix for q, k and v."""
    attention = block.attn

    def attend_from(states: torch.Tensor) -> Projected:
        joined = F.linear(states, attention.in_proj_weight, attention.in_proj_bias)
        return _split(joined, attention.num_heads)

    def values_from(states: torch.Tensor) -> torch.Tensor:
        weight, bias = (one.chunk(3)[2] for one in (attention.in_proj_weight, attention.in_proj_bias))
        return rearrange(F.linear(states, weight, bias), "b l (n d) -> b n l d", n=attention.num_heads)

    norms, scales = (block.ln_1, block.ln_2), (block.ls_1, block.ls_2)
    return LastBlock(attend_from, attention.out_proj, norms, block.mlp, scales, values_from)


def timm_block(block: Any) -> LastBlock:
    """Timm's ``Block`` with its ``Attention``: one matrix for q, k and v; norms if the model has them."""
    attention = block.attn

    def attend_from(states: torch.Tensor) -> Projected:
        queries, keys, values = _split(attention.qkv(states), attention.num_heads)
        return Projected(attention.q_norm(queries), attention.k_norm(keys), values)

    def out(joined: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = attention.proj(attention.norm(joined))
        return projected

    norms, scales = (block.norm1, block.norm2), (block.ls1, block.ls2)
    return LastBlock(attend_from, out, norms, block.mlp, scales)


def clip_block(layer: Any) -> LastBlock:
    """The layer of CLIP, MetaCLIP 2, SigLIP and SigLIP 2."""
    attention = layer.self_attn
    norms = (layer.layer_norm1, layer.layer_norm2)
    return LastBlock(_separate(attention, attention.num_heads), attention.out_proj, norms, layer.mlp)


def aimv2_block(layer: Any) -> LastBlock:
    """The layer of AIMv2: RMSNorm and a gated MLP."""
    attention = layer.attention
    norms = (layer.rms_norm1, layer.rms_norm2)
    return LastBlock(_separate(attention, attention.num_heads), attention.out_proj, norms, layer.ffn)


def tipsv2_block(layer: Any) -> LastBlock:
    """The layer of TIPSv2: DINOv2's, with LayerScale."""
    attention, norms = layer.attention, (layer.norm1, layer.norm2)
    attend_from = _separate(attention, attention.num_attention_heads)
    scales = (layer.layer_scale1, layer.layer_scale2)
    return LastBlock(attend_from, attention.o_proj, norms, layer.mlp, scales)


def _separate(attention: Any, heads: int) -> Callable[[torch.Tensor], Projected]:
    """The projection of transformers' layers, which have a matrix for each of q, k and v."""
    matrices = (attention.q_proj, attention.k_proj, attention.v_proj)
    return lambda states: _split(torch.cat([one(states) for one in matrices], dim=-1), heads)


def _split(joined: torch.Tensor, heads: int) -> Projected:
    """Split (B, L, 3 n d) into queries, keys and values (B, n, L, d)."""
    return Projected(*rearrange(joined, "b l (three n d) -> three b n l d", three=3, n=heads).unbind(0))
