"""SAM's image encoder on any grid, whichever library its parts come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import nn

from fmbseg.models.backbones.positions import PositionTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.backbones.positions import Interpolation


class SamEncoder(nn.Module):
    """SAM's image encoder on any grid; its parts come from segment_anything or from transformers.

    The absolute position embeddings are interpolated, which the authors never had to do, since they
    pad every image to 1024 px; relative ones are interpolated by the blocks, as the authors do.

    Args:
        patches: turns pixels into (B, C, h, w).
        positions: absolute position embeddings (1, side, side, C), or ``None``.
        blocks: each maps (B, h, w, C) to the same shape; those after the last that is read are left out.
        neck: maps (B, h, w, C) to (B, 256, h, w), applied to each layer that is read, or ``None``.
        layers: indices of the layers that are read.
        how: how positions are interpolated.
    """

    def __init__(
        self,
        patches: nn.Module,
        positions: torch.Tensor | None,
        blocks: Sequence[nn.Module],
        neck: nn.Module | None,
        layers: Sequence[int],
        how: Interpolation,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.positions = None if positions is None else PositionTable(positions.flatten(1, 2), 0, how)
        self.blocks = nn.ModuleList(list(blocks)[: max(layers) + 1])
        self.neck = neck
        self._layers = tuple(layers)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, C, H/16, W/16)."""
        tokens = self.patches(pixels).permute(0, 2, 3, 1)
        grid = (tokens.shape[1], tokens.shape[2])
        if self.positions is not None:
            tokens = tokens + rearrange(self.positions(grid), "1 (h w) c -> 1 h w c", h=grid[0])
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            tokens = tokens[0] if isinstance(tokens, tuple) else tokens
            if index in self._layers:
                maps.append(tokens.permute(0, 3, 1, 2) if self.neck is None else self.neck(tokens))
        return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)
