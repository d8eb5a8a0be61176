"""The image encoder of ``segment_anything``: the same result without its tables of attention.

The package writes out the weights of every pair of places of a photograph, 4,096 squared for each head, and
passes over that table five times: products, two additions of relative positions, softmax, mixture. In blocks
that see the whole photograph this takes three quarters of the time. Here a CPU takes a few rows at a time,
which stay in its cache until they are used up, and an accelerator uses its fused attention. Where windows
reach beyond the photograph, what the projections make of the empty places is known without computing it.

Numbers differ from the module's only by rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange

_PAIRS_AT_ONCE_ON_CPU = 64 * 4096  # a megabyte, which fits in the cache
_PLACES_AT_ONCE_ON_CPU = 512


class LeanEncoder:
    """Encodes frames with the weights of a ``segment_anything`` module.

    Args:
        encoder: the module's; used as it is at the time of encoding.
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    @staticmethod
    def knows(encoder: Any) -> bool:
        """Whether an encoder is ``segment_anything``'s own: a derived class may encode differently."""
        from segment_anything.modeling import ImageEncoderViT
        from segment_anything.modeling.image_encoder import Attention, Block

        return type(encoder) is ImageEncoderViT and all(
            type(block) is Block and type(block.attn) is Attention and block.attn.use_rel_pos
            for block in encoder.blocks
        )

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, side, side) to (B, 256, side / 16, side / 16)."""
        encoder = self._encoder
        # As it comes, its channels lie apart, and so would those of all sums.
        places = encoder.patch_embed(pixels).contiguous()
        if encoder.pos_embed is not None:
            places = places + encoder.pos_embed
        for block in encoder.blocks:
            mixed = _mix(block.attn, block.norm1(places), block.window_size)
            places = places + block.attn.proj(mixed)
            for some in _few_rows(places):
                some += block.mlp(block.norm2(some))
        encoded: torch.Tensor = encoder.neck(rearrange(places, "b h w c -> b c h w"))
        return encoded


def _few_rows(places: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Views of places (B, H, W, C), a few rows each on a CPU, whose cache what is made of them fits."""
    rows = places.shape[1]
    if places.device.type == "cpu":
        rows = max(1, _PLACES_AT_ONCE_ON_CPU // places.shape[2])
    return places.split(rows, dim=1)  # type: ignore[no-any-return, no-untyped-call]


def _mix(attention: Any, places: torch.Tensor, window: int) -> torch.Tensor:
    """What the heads of each place (B, H, W, C) gather, within windows of so many places unless 0."""
    batch, height, width, _ = places.shape
    down, right = (-height % window, -width % window) if window else (0, 0)
    joined = _padded(attention.qkv, places, down, right) if down or right else attention.qkv(places)
    rows, columns = (window, window) if window else (height, width)
    queries, keys, values = rearrange(
        joined,
        "b (y h) (x w) (three n d) -> three (b y x n) (h w) d",
        three=3, n=attention.num_heads, h=rows, w=columns,
    )  # fmt: skip
    of_row, of_column = _relative(attention, queries, rows, columns)
    attend = _in_cache if places.device.type == "cpu" else _fused
    mixed = rearrange(
        attend(queries, keys, values, of_row, of_column, attention.scale),
        "(b y x n) (h w) d -> b (y h) (x w) (n d)",
        b=batch, y=(height + down) // rows, n=attention.num_heads, h=rows,
    )  # fmt: skip
    return mixed[:, :height, :width]


def _padded(linear: Any, places: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Project places (B, H, W, C), with empty ones below and on the right: (B, H + down, W + right, D)."""
    batch, height, width, _ = places.shape
    projected = F.linear(places, linear.weight)
    # The package puts zeros there before it projects them, which gives the projection's bias.
    bias = projected.new_zeros(()) if linear.bias is None else linear.bias.to(projected.dtype)
    whole = projected.new_empty(batch, height + down, width + right, projected.shape[-1])
    torch.add(projected, bias, out=whole[:, :height, :width])
    whole[:, height:] = bias
    whole[:, :height, width:] = bias
    return whole


def _relative(
    attention: Any, queries: torch.Tensor, rows: int, columns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What positions add to the products of each query (N, L, D), by the key's row and by its column."""
    from segment_anything.modeling.image_encoder import get_rel_pos

    placed = rearrange(queries, "n (h w) d -> n h w d", h=rows)
    of_row = get_rel_pos(rows, rows, attention.rel_pos_h)
    of_column = get_rel_pos(columns, columns, attention.rel_pos_w)
    return (
        torch.einsum("n h w d, h k d -> n h w k", placed, of_row).flatten(1, 2),
        torch.einsum("n h w d, w k d -> n h w k", placed, of_column).flatten(1, 2),
    )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _in_cache(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    of_row: torch.Tensor,
    of_column: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Attention of N heads (N, L, D), a few rows of the table of pairs at a time."""
    count, length, _ = queries.shape
    heads = max(1, _PAIRS_AT_ONCE_ON_CPU // length**2)
    step = min(length, max(1, _PAIRS_AT_ONCE_ON_CPU // length))
    mixed = torch.empty_like(queries)
    for start in range(0, count, heads):
        some = slice(start, start + heads)
        for first in range(0, length, step):
            part = (some, slice(first, first + step))
            places = of_row[part][..., :, None] + of_column[part][..., None, :]
            pairs = places.flatten(2).baddbmm_(queries[part], keys[some].transpose(1, 2), alpha=scale)
            mixed[part] = pairs.softmax(dim=-1) @ values[some]
    return mixed


def _fused(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    of_row: torch.Tensor,
    of_column: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """The same in one call, whose kernel holds no table but that of positions."""
    places = (of_row[..., :, None] + of_column[..., None, :]).flatten(2)
    return F.scaled_dot_product_attention(
        queries[None], keys[None], values[None], attn_mask=places[None], scale=scale
    )[0]
