"""The alignment head: one transformer block that carries patch features into the text space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

_MOST_HEADS = 16
_SMALLEST_HEAD = 32


@dataclass(frozen=True)
class HeadSettings:
    """The shape of an :class:`AlignmentHead`, as it is written to ``config.json``.

    Args:
        in_dim: channels of the backbone's patch features.
        out_dim: dimensions of the text space.
        heads: attention heads; must divide ``in_dim``.
        mlp_ratio: hidden width of the block's MLP over ``in_dim``.
        attention: whether the patches of an image attend to one another.

    Raises:
        ValueError: for a value that makes no head.
    """

    in_dim: int
    out_dim: int
    heads: int
    mlp_ratio: float = 4.0
    attention: bool = True

    def __post_init__(self) -> None:
        for name in ("in_dim", "out_dim", "heads"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} of the head must be a positive whole number; got {value!r}")
        if self.in_dim % self.heads:
            raise ValueError(f"{self.heads} attention heads do not divide in_dim {self.in_dim}")
        ratio = self.mlp_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < float("inf"):
            raise ValueError(f"mlp_ratio of the head must be a positive number; got {ratio!r}")
        if not isinstance(self.attention, bool):
            raise ValueError(f"attention of the head must be true or false; got {self.attention!r}")


def default_heads(in_dim: int) -> int:
    """The most attention heads, up to 16, that divide ``in_dim`` and have 32 channels each; else 1.

    The paper does not state the count; 16 is what a ViT-L block has.

    Example:
        >>> default_heads(1024), default_heads(472), default_heads(384), default_heads(30)
        (16, 8, 12, 1)
    """
    return next(
        (n for n in range(_MOST_HEADS, 1, -1) if in_dim % n == 0 and in_dim // n >= _SMALLEST_HEAD), 1
    )


class PatchBlock(nn.Module):
    """The MLP half of a pre-norm transformer block: patches (B, N, dim) to the same shape, each by itself.

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


class AlignmentHead(nn.Module):
    """One pre-norm transformer block over an image's patches, LayerNorm, Linear, unit length (section 3.3).

    There is no position embedding (the backbone's features carry theirs), no dropout, and no attention to
    texts.

    Args:
        in_dim: channels of the backbone's patch features.
        out_dim: dimensions of the text space.
        heads: attention heads; :func:`default_heads` where not given.
        mlp_ratio: hidden width of the block's MLP over ``in_dim``.
        attention: as in the paper; without it, the block is its MLP alone, and every patch is mapped by
            itself. Attention learns to spread what a whole photograph shows, which misleads where the
            photographs of the training show one thing each and those of deployment many.

    Raises:
        ValueError: for a value that makes no head.

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
        attention: bool = True,
    ) -> None:
        super().__init__()
        heads = default_heads(in_dim) if heads is None else heads
        self.settings = HeadSettings(in_dim, out_dim, heads, mlp_ratio, attention)
        hidden = max(1, round(in_dim * mlp_ratio))
        self.block: nn.Module
        if attention:
            self.block = nn.TransformerEncoderLayer(
                d_model=in_dim,
                nhead=heads,
                dim_feedforward=hidden,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
        else:
            self.block = PatchBlock(in_dim, hidden)
        self.norm = nn.LayerNorm(in_dim)
        self.project = nn.Linear(in_dim, out_dim)

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
