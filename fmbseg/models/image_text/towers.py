"""Vision towers: from pixels to one vector per image and one per cell, in the text space, in one pass.

A tower runs its library's own forward pass, so the pooled vector is the library's. Its last block's input
is recorded on the way, and that block is run once more, in changed form, for the cells.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from einops import rearrange, repeat

from fmbseg.models.image_text.dense_variants import BlockInput, dense_variant

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from fmbseg.models.image_text.blocks import LastBlock

CELLS = "cells"
"""Name of the dense features of a tower that does not end in attention: each cell through its head."""


class TowerOutput(NamedTuple):
    """Vectors in the text space, not normalised: pooled (B, D) and dense (B, D, h, w)."""

    pooled: torch.Tensor
    dense: torch.Tensor


class TowerState(NamedTuple):
    """What a transformer makes of images before the dense variant comes in.

    Attributes:
        pooled: (B, D), not normalised.
        tokens: input of the last block.
    """

    pooled: torch.Tensor
    tokens: BlockInput


class Tower(Protocol):
    """A vision tower.

    Attributes:
        stride: pixels between cells.
    """

    @property
    def stride(self) -> int: ...  # noqa: D102 - said above

    def encode(self, pixels: torch.Tensor) -> TowerOutput:
        """Encode (B, 3, H, W), H and W multiples of ``stride``."""
        ...


class Tap:
    """Keep a module's input; each thread sees its own, so that threads may share a model.

    Args:
        module: module whose first input is kept.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._seen = threading.local()
        module.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._seen.states = args[0] if args else kwargs["hidden_states"]

    def take(self) -> torch.Tensor:
        """Return what was kept and forget it."""
        states: torch.Tensor = self._seen.states
        del self._seen.states
        return states


@dataclass(frozen=True)
class TransformerTower:
    """A tower that ends in a transformer block, whatever pools its tokens.

    Args:
        forward: the library's own pass, from pixels to pooled vectors.
        tap: keeps the last block's input.
        block: the last block, taken apart.
        prefix: number of tokens that are not cells.
        head: what follows the last block; it takes tokens (B, L, C), at least as many as it needs.
        stride: pixels between cells.
        variant: name of the dense variant.
        positions: how position embeddings were brought to the crops' size; of one model, towers whose crops
            and positions are the same see alike.

    A cell's vector is what ``head`` makes of an image with only this token. For CLIP that is norm and
    projection; for SigLIP, the value path of the pooling attention and what follows it.
    """

    forward: Callable[[torch.Tensor], torch.Tensor]
    tap: Tap
    block: LastBlock
    prefix: int
    head: Callable[[torch.Tensor], torch.Tensor]
    stride: int
    variant: str
    positions: str = ""

    def encode(self, pixels: torch.Tensor) -> TowerOutput:
        """Encode (B, 3, H, W): all blocks once, the last one once more for the cells."""
        return self.finish(self.see(pixels))

    def see(self, pixels: torch.Tensor) -> TowerState:
        """All that does not depend on the variant."""
        pooled = self.forward(pixels)
        grid = (pixels.shape[2] // self.stride, pixels.shape[3] // self.stride)
        return TowerState(pooled, BlockInput(self.tap.take(), self.prefix, grid))

    def finish(self, seen: TowerState) -> TowerOutput:
        """The last block once more, for the cells."""
        tokens = seen.tokens
        cells = dense_variant(self.variant)(self.block, tokens)[:, self.prefix :]
        alone = repeat(cells, "b l c -> (b l) t c", t=self.prefix + 1)
        dense = rearrange(self.head(alone), "(b h w) d -> b d h w", h=tokens.grid[0], w=tokens.grid[1])
        return TowerOutput(seen.pooled, dense)


@dataclass(frozen=True)
class AttentionPoolTower:
    """CLIP's ResNet, whose attention pool takes the place of the last block.

    Args:
        visual: open_clip's ``ModifiedResNet``.
        tap: keeps the input of its attention pool.
        stride: pixels between cells.

    A cell's vector is the pool's value path, ``c_proj(v_proj(x))``, without position embeddings, as in
    MaskCLIP (arXiv 2112.01071). The pool has no residual and no MLP: ``maskclip`` and ``value`` are the same;
    here ``value`` differs from FeatUp's, which adds the position embeddings before the value projection.
    """

    visual: Any
    tap: Tap
    stride: int = 32

    def encode(self, pixels: torch.Tensor) -> TowerOutput:
        """Encode (B, 3, H, W)."""
        pooled = self.visual(pixels)
        pool = self.visual.attnpool
        cells = pool.c_proj(pool.v_proj(rearrange(self.tap.take(), "b c h w -> b h w c")))
        return TowerOutput(pooled, rearrange(cells, "b h w d -> b d h w"))


@dataclass(frozen=True)
class TrunkTower:
    """Any other timm tower: the dense features are its last feature map, each cell passed through its head.

    Args:
        visual: open_clip's ``TimmModel``.
        stride: pixels between cells.
    """

    visual: Any
    stride: int

    def encode(self, pixels: torch.Tensor) -> TowerOutput:
        """Encode (B, 3, H, W)."""
        trunk = self.visual.trunk
        features = trunk.forward_features(pixels)
        grid = (pixels.shape[2] // self.stride, pixels.shape[3] // self.stride)
        if features.ndim == 3:  # (B, L, C), tokens that are not cells first
            prefix = features.shape[1] - grid[0] * grid[1]
            alone = repeat(features[:, prefix:], "b l c -> (b l) t c", t=prefix + 1)
        elif getattr(trunk, "output_fmt", "NCHW") == "NHWC":
            alone = rearrange(features, "b h w c -> (b h w) 1 1 c")
        else:
            alone = rearrange(features, "b c h w -> (b h w) c 1 1")
        dense = rearrange(self._head(alone), "(b h w) d -> b d h w", h=grid[0], w=grid[1])
        return TowerOutput(self._head(features), dense)

    def _head(self, features: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.visual.head(self.visual.trunk.forward_head(features))
        return vectors
