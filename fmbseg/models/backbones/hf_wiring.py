"""The network that reads a grid from a model of transformers."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fmbseg.models.backbones.facts import GridNetwork
from fmbseg.models.backbones.grids import (
    NoSpatialFeaturesError,
    OneSize,
    Pyramid,
    chosen_layers,
    default_stages,
)
from fmbseg.models.backbones.hf_networks import (
    CutTokens,
    TokenGrid,
    UnmaskedTokens,
    stage_maps,
    use_positions,
)
from fmbseg.models.backbones.positions import PLAIN
from fmbseg.models.backbones.sam_encoder import SamEncoder
from fmbseg.models.loading.errors import SpecError

if TYPE_CHECKING:
    from fmbseg.models.backbones.hf_kinds import Kind
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
