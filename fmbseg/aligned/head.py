"""The alignment head, which maps patch features to the text space; in the paper one transformer block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

from fmbseg.aligned.head_settings import HeadKind, HeadSettings, default_heads

if TYPE_CHECKING:
    from collections.abc import Callable


class PatchBlock(nn.Module):
    """The MLP half of a pre-norm transformer block: patches (B, N, dim) to the same shape, one by one.

    Args:
        dim: channels of a patch.
        hidden: width between the two linear maps.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Add to each patch what its MLP makes of it."""
        return patches + self.mlp(patches)  # type: ignore[no-any-return]


class AttentionBlock(nn.TransformerEncoderLayer):
    """PyTorch's pre-norm transformer block with fused attention, in training and in use.

    PyTorch's forward pass forms the matrix of attention as soon as no gradient is wanted, which takes a fifth
    longer for a photograph on a CPU.
    """

    def forward(self, patches: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Map patches (B, N, dim) to the same shape; each sees all."""
        attention = self.self_attn
        mixed = functional.linear(self.norm1(patches), attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = rearrange(
            mixed, "b n (three heads d) -> three b heads n d", three=3, heads=attention.num_heads
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        patches = patches + attention.out_proj(rearrange(seen, "b heads n d -> b n (heads d)"))
        hidden = functional.gelu(self.linear1(self.norm2(patches)))
        return patches + self.linear2(hidden)  # type: ignore[no-any-return]


def _transformer_block(settings: HeadSettings) -> nn.Module:
    return AttentionBlock(
        d_model=settings.in_dim,
        nhead=settings.heads,
        dim_feedforward=settings.hidden,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )


_BLOCKS: dict[HeadKind, Callable[[HeadSettings], nn.Module]] = {
    "block": _transformer_block,
    "linear": lambda _: nn.Identity(),
    "mlp": lambda settings: nn.Sequential(
        nn.LayerNorm(settings.in_dim),
        nn.Linear(settings.in_dim, settings.hidden),
        nn.GELU(),
    ),
    "block_without_attention": lambda settings: PatchBlock(settings.in_dim, settings.hidden),
    "two_blocks": lambda settings: nn.Sequential(_transformer_block(settings), _transformer_block(settings)),
}


class AlignmentHead(nn.Module):
    """One pre-norm transformer block over an image's patches, LayerNorm, Linear, unit length (section 3.3).

    There is no position embedding (the backbone's features carry theirs), no dropout, and no attention to
    texts. Other kinds serve for comparison, and for encoders and photographs that the paper's does not suit:

    - ``"block"``: as in the paper.
    - ``"two_blocks"``: two of them.
    - ``"block_without_attention"``: the block's MLP alone, so that every patch is mapped by itself. Attention
      learns to spread what a whole photograph shows, which misleads if the training's photographs show one
      thing each and later ones show many.
    - ``"mlp"``: LayerNorm, Linear, GELU, Linear, unit length, without a residual; its hidden width may
      differ much from ``in_dim``.
    - ``"linear"``: LayerNorm, Linear, unit length.

    Args:
        in_dim: channels of the backbone's patch features.
        out_dim: dimensions of the text space.
        heads: attention heads; by default :func:`~fmbseg.aligned.head_settings.default_heads`.
        mlp_ratio: hidden width of the MLP, as a multiple of ``in_dim``; ``"linear"`` has none.
        kind: one of the above.

    Raises:
        ValueError: a value that makes no head.

    Example:
        >>> head = AlignmentHead(in_dim=64, out_dim=8)
        >>> aligned = head(torch.randn(2, 64, 3, 5))
        >>> aligned.shape, torch.allclose(aligned.norm(dim=1), torch.ones(2, 3, 5))
        (torch.Size([2, 8, 3, 5]), True)
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        heads: int | None = None,
        mlp_ratio: float = 4.0,
        *,
        kind: HeadKind = "block",
    ) -> None:
        super().__init__()
        heads = default_heads(in_dim) if heads is None else heads
        self.settings = HeadSettings(in_dim, out_dim, heads, mlp_ratio, kind)
        self.block = _BLOCKS[kind](self.settings)
        self.norm = nn.Identity() if kind == "mlp" else nn.LayerNorm(in_dim)
        self.project = nn.Linear(self.settings.projected, out_dim)

    @property
    def attends(self) -> bool:
        """Whether a patch's vector depends on the other patches of its image."""
        return self.settings.attends

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained; ``settings.flops`` says what computing with them costs.

        Example:
            >>> AlignmentHead(472, 384, kind="linear").parameter_count  # 2 * 472 + 472 * 384 + 384
            182576
        """
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map patch features (B, in_dim, h, w) to unit vectors of the text space (B, out_dim, h, w)."""
        if features.ndim != 4 or features.shape[1] != self.settings.in_dim:
            raise ValueError(
                f"the head takes features (B, {self.settings.in_dim}, h, w); got {tuple(features.shape)}"
            )
        height, width = features.shape[-2:]
        patches = self.block(rearrange(features, "b c h w -> b (h w) c"))
        aligned = functional.normalize(self.project(self.norm(patches)), dim=-1)
        return rearrange(aligned, "b (h w) d -> b d h w", h=height, w=width)
