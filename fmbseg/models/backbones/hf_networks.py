"""Networks around vision models of transformers; each turns pixels into one grid."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import nn

from fmbseg.models.backbones.grids import NoSpatialFeaturesError, tokens_to_grid
from fmbseg.models.backbones.positions import PositionTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.backbones.positions import Interpolation


class TokenGrid(nn.Module):
    """Patch tokens of some blocks, joined, as a grid.

    The blocks' outputs are caught as they are computed: transformers itself keeps all or none.

    Args:
        model: model of transformers; blocks after the last that is read are cut off.
        blocks: its blocks.
        layers: indices of the layers that are read.
        norm: norm that is applied to each, or ``None``.
        patch: side of a patch in pixels.
        prefix: number of tokens before the patches.
        arguments: keyword arguments that the model takes besides pixels.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: nn.ModuleList,
        layers: Sequence[int],
        norm: nn.Module | None,
        *,
        patch: int,
        prefix: int,
        arguments: dict[str, Any],
    ) -> None:
        super().__init__()
        self.model = model
        self._norm = [norm]  # in a list, so that it is not registered a second time
        self._patch = patch
        self._prefix = prefix
        self._arguments = arguments
        self._caught: list[torch.Tensor] = []
        for layer in layers:
            blocks[layer].register_forward_hook(self._catch)
        del blocks[max(layers) + 1 :]

    def _catch(self, _module: nn.Module, _inputs: object, output: Any) -> None:
        self._caught.append(output[0] if isinstance(output, tuple) else output)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, C, H/patch, W/patch)."""
        grid = (pixels.shape[-2] // self._patch, pixels.shape[-1] // self._patch)
        self._caught = []
        self._run(pixels, grid)
        caught, self._caught = self._caught, []
        (norm,) = self._norm
        maps = [tokens_to_grid(norm(one) if norm else one, grid, self._prefix) for one in caught]
        return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)

    def _run(self, pixels: torch.Tensor, grid: tuple[int, int]) -> None:
        del grid
        self.model(pixel_values=pixels, **self._arguments)


class UnmaskedTokens(TokenGrid):
    """Patch tokens of a masked autoencoder: nothing is masked, and the patches keep their order."""

    def _run(self, pixels: torch.Tensor, grid: tuple[int, int]) -> None:
        order = torch.arange(grid[0] * grid[1], device=pixels.device, dtype=torch.float32)
        self.model(pixel_values=pixels, noise=order.expand(len(pixels), -1), **self._arguments)


class CutTokens(TokenGrid):
    """Patch tokens of a model that takes patches cut beforehand, and their grid (NaFlex)."""

    def _run(self, pixels: torch.Tensor, grid: tuple[int, int]) -> None:
        patches = rearrange(pixels, "b c (h p) (w q) -> b (h w) (p q c)", h=grid[0], w=grid[1])
        shapes = torch.tensor([grid] * len(pixels), device=pixels.device)
        self.model(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], device=pixels.device, dtype=torch.long),
            spatial_shapes=shapes,
        )


def use_positions(embeddings: Any, prefix: int, how: Interpolation, patch: int) -> None:
    """Make embeddings of transformers interpolate their ``position_embeddings`` as the authors do."""
    embeddings.table = PositionTable(embeddings.position_embeddings, prefix, how)

    def interpolate(self: Any, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        del tokens
        positions: torch.Tensor = self.table((height // patch, width // patch))
        return positions

    embeddings.interpolate_pos_encoding = types.MethodType(interpolate, embeddings)


def stage_maps(model: nn.Module, pixels: torch.Tensor) -> list[torch.Tensor]:
    """The last map of each grid that a hierarchical model of transformers goes through, the finest first.

    Raises:
        NoSpatialFeaturesError: it gives no maps.
    """
    output = model(pixel_values=pixels, output_hidden_states=True)
    states = getattr(output, "reshaped_hidden_states", None) or output.hidden_states
    last = {tuple(state.shape[-2:]): state for state in states if state.ndim == 4}
    last.pop(tuple(pixels.shape[-2:]), None)  # some list the pixels themselves as a map
    if not last:
        raise NoSpatialFeaturesError(f"{type(model).__name__} gives no maps")
    return list(last.values())
