"""Position embeddings for any grid, interpolated as the model's authors do."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange
from torch import nn

_KEPT = 8  # number of grids that are remembered


class Interpolation(NamedTuple):
    """How a table of position embeddings is resized to another grid.

    Attributes:
        antialias: whether to smooth before sampling.
        offset: added to the sides of the wanted grid before they become scale factors, which shifts where the
            table is sampled; 0 for none.
        mode: ``bicubic`` or ``bilinear``.
    """

    antialias: bool
    offset: float
    mode: str = "bicubic"


DINO = Interpolation(antialias=False, offset=0.1)  # also DINOv2 without registers
DINO_REGISTERS = Interpolation(antialias=True, offset=0.0)
TIPS = Interpolation(antialias=True, offset=0.0, mode="bilinear")
PLAIN = Interpolation(antialias=False, offset=0.0)  # MAE, CLIP


class PositionTable(nn.Module):
    """A square table of position embeddings, resized once for each grid.

    Args:
        table: (1, prefix + side * side, C).
        prefix: leading entries that belong to no patch and stay as they are.
        how: how it is interpolated.

    Example:
        >>> table = PositionTable(torch.arange(5.0).reshape(1, 5, 1), prefix=1, how=PLAIN)
        >>> table((2, 2))[0, :, 0], table((3, 2)).shape
        (tensor([0., 1., 2., 3., 4.]), torch.Size([1, 7, 1]))
    """

    def __init__(self, table: torch.Tensor, prefix: int, how: Interpolation) -> None:
        super().__init__()
        self.register_buffer("table", table.detach())
        self.table: torch.Tensor
        self._prefix = prefix
        self._how = how
        self._side = math.isqrt(table.shape[1] - prefix)
        self._known: dict[tuple[object, ...], torch.Tensor] = {}

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """The table for a grid of (h, w) patches: (1, prefix + h * w, C)."""
        if grid == (self._side, self._side):
            return self.table
        key = (grid, self.table.device, self.table.dtype)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = self._interpolated(grid)
        return self._known[key]

    def _interpolated(self, grid: tuple[int, int]) -> torch.Tensor:
        prefix, patches = self.table[:, : self._prefix], self.table[:, self._prefix :]
        square = rearrange(patches.float(), "1 (h w) c -> 1 c h w", h=self._side)
        offset = self._how.offset
        scale = tuple((side + offset) / self._side for side in grid) if offset else None
        resized = F.interpolate(
            square,
            size=None if scale else grid,
            scale_factor=scale,
            mode=self._how.mode,
            antialias=self._how.antialias,
            align_corners=False,
        )
        return torch.cat([prefix, rearrange(resized, "1 c h w -> 1 (h w) c").to(prefix.dtype)], dim=1)
