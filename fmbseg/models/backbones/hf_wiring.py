"""Networks around vision models of transformers, each turning pixels into one grid."""

from __future__ import annotations

import inspect
import math
import types
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import nn

from fmbseg.models.backbones.facts import GridNetwork
from fmbseg.models.backbones.from_sam import SamEncoder
from fmbseg.models.backbones.grids import (
    NoSpatialFeaturesError,
    OneSize,
    Pyramid,
    chosen_layers,
    default_stages,
    tokens_to_grid,
)
from fmbseg.models.backbones.positions import PLAIN, PositionTable
from fmbseg.models.loading.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.backbones.hf_kinds import Kind
    from fmbseg.models.backbones.positions import Interpolation
    from fmbseg.models.backbones.request import BackboneRequest


def wire(model: nn.Module, config: Any, kind: Kind, request: BackboneRequest) -> GridNetwork:
    """Make the network that reads a model's grid.

    Raises:
        SpecError: the model does not have the layers or the norm that were asked for.
        NoSpatialFeaturesError: the model has no blocks or stages.
    """
    if kind.shape == "pyramid":
        return _pyramid(model, config, request)
    if kind.shape == "sam":
        return _sam(model, config, request)
    return _tokens(model, config, kind, request)


def _tokens(model: nn.Module, config: Any, kind: Kind, request: BackboneRequest) -> GridNetwork:
    depth, patch = int(config.num_hidden_layers), int(config.patch_size)
    class_tokens, registers = _prefix(config, kind)
    prefix = class_tokens + registers
    layers = chosen_layers(request.layers, depth, (depth - 1,), request.spec)
    if request.norm and not kind.norm:
        raise SpecError(f"{request.spec}: {kind.model} ends without a norm: leave out `norm`")
    norm = None if request.norm is False or not kind.norm else _named(model, kind.norm)
    if kind.positions is not None:
        use_positions(_named(model, "embeddings"), 1, kind.positions, patch)
    takes = inspect.signature(model.forward).parameters
    arguments = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}
    made: type[TokenGrid] = TokenGrid
    if kind.shape == "naflex":
        made = CutTokens
    elif "noise" in takes:
        made = UnmaskedTokens
    network: nn.Module = made(
        model, _blocks(model, depth), layers, norm, patch=patch, prefix=prefix, arguments=arguments
    )
    applied = norm is not None and not isinstance(norm, nn.Identity)
    dim = int(config.hidden_size) * len(layers)
    native = _native(config, patch)
    any_size = bool(getattr(config, "is_native", True))  # other AIMv2 models resize no table
    if not any_size:
        if request.size not in (None, native):
            raise SpecError(f"{request.spec}: this model has one size, {native} px: leave out `size`")
        network = OneSize(network, native, patch)
    return GridNetwork(
        network, dim, patch, native, layers, depth, applied, class_tokens, registers, any_size=any_size
    )


def _prefix(config: Any, kind: Kind) -> tuple[int, int]:
    """How many class tokens and registers precede the patches; C-RADIO has one class token per teacher."""
    if kind.model == "RadioModel":
        return int(config.num_cls_tokens), int(config.num_registers)
    return kind.class_tokens, int(getattr(config, "num_register_tokens", 0) or 0)


def _sam(model: nn.Module, config: Any, request: BackboneRequest) -> GridNetwork:
    depth = int(config.num_hidden_layers)
    layers = chosen_layers(request.layers, depth, (depth - 1,), request.spec)
    encoder: Any = _named(model, "vision_encoder")
    neck = None if request.norm is False else encoder.neck
    network = SamEncoder(
        encoder.patch_embed.projection, encoder.pos_embed, encoder.layers, neck, layers, PLAIN
    )
    width = config.hidden_size if neck is None else config.output_channels
    dim, patch = int(width) * len(layers), int(config.patch_size)
    return GridNetwork(network, dim, patch, _native(config, patch), layers, depth, neck is not None)


def _pyramid(model: nn.Module, config: Any, request: BackboneRequest) -> GridNetwork:
    if request.norm:
        raise SpecError(f"{request.spec}: the stages of a pyramid have no norm in common: leave out `norm`")
    # Swin shrinks its windows to fit a map smaller than they are, but not their position biases.
    window = int(getattr(config, "window_size", 1) or 1)
    side = 32 * window
    with torch.no_grad():
        maps = stage_maps(model, torch.zeros(1, 3, side, side, device=next(model.parameters()).device))
    shapes = [one.shape for one in maps]
    strides = [side // shape[-1] for shape in shapes]
    layers = chosen_layers(request.layers, len(strides), default_stages(strides), request.spec)
    network = Pyramid(
        model,
        lambda pixels: [one for index, one in enumerate(stage_maps(model, pixels)) if index in layers],
        strides=[strides[layer] for layer in layers],
        multiple=max(strides),
        minimum=side,
    )
    dim = sum(shapes[layer][1] for layer in layers)
    stride = strides[layers[0]]
    return GridNetwork(network, dim, stride, _native(config, stride), layers, len(strides), pyramid=True)


def _native(config: Any, stride: int) -> int:
    size = getattr(config, "image_size", None)
    if isinstance(size, list | tuple):
        return int(min(size))
    if isinstance(size, int):
        return size
    patches = int(getattr(config, "num_patches", 0))
    return math.isqrt(patches) * stride if patches else 224


def _named(model: nn.Module, name: str) -> nn.Module:
    """The module of this name that is nearest to the top: versions of transformers nest it differently."""
    found = [path for path, _ in model.named_modules() if path.rpartition(".")[2] == name]
    if not found:
        raise NoSpatialFeaturesError(f"{type(model).__name__} has no {name!r}")
    return model.get_submodule(min(found, key=lambda path: path.count(".")))


def _blocks(model: nn.Module, depth: int) -> nn.ModuleList:
    lists = [
        module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    if not lists:
        raise NoSpatialFeaturesError(f"{type(model).__name__} has no list of {depth} blocks")
    return lists[0]


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
