"""How a model of timm is built and read, found out on the meta device, before any weight exists."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.grids import NoSpatialFeaturesError, chosen_layers, default_stages
from fmbseg.models.backbones.positions import DINO, PLAIN, TIPS, Interpolation
from fmbseg.models.loading.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from fmbseg.models.backbones.request import BackboneRequest

# Models whose authors do not interpolate as timm does, bicubically with antialiasing.
_POSITIONS = (
    (r"_patch14_dinov2\b", DINO),
    (r"\.dino$", DINO),
    (r"\.mae$", PLAIN),
    (r"_patch14_reg1_tipsv2\b", TIPS),
)


_CELLS = 8


@dataclass(frozen=True)
class TimmPlan:
    """What is known about a model before it is built.

    Args:
        arguments: keyword arguments that it is built with.
        config: timm's ``pretrained_cfg``.
        layers: indices of the layers that are read.
        depth: how many layers there are.
        norm: whether the final norm is applied.
        columnar: whether all layers have one grid (patch tokens); if not, they form a pyramid.
        positions: how its position embeddings are interpolated; ``None`` if by timm.
        any_size: whether it takes images of any size.
        native_size: side in pixels of the images that it is meant for.
        strides: strides of the layers read, in pixels.
        multiple: sides are padded to multiples of this many pixels, so that every stage can divide them.
        minimum: smallest number of pixels that sides are padded to.
        dim: total channels of the layers read.
        prefix: number of leading tokens that are not patches.
        registers: how many of these stand for nothing in the image.
    """

    arguments: Mapping[str, Any]
    config: Mapping[str, Any]
    layers: tuple[int, ...]
    depth: int
    norm: bool
    columnar: bool
    positions: Interpolation | None
    any_size: bool
    native_size: int
    strides: tuple[int, ...]
    multiple: int
    minimum: int
    dim: int
    prefix: int
    registers: int

    @property
    def stride(self) -> int:
        """Stride of the grid: that of the finest layer read."""
        return min(self.strides)


def plan_of(
    architecture: str, arguments: Mapping[str, Any], overlay: Mapping[str, Any], request: BackboneRequest
) -> TimmPlan:
    """Find out how a model is built and read.

    Args:
        architecture: timm's name.
        arguments: the model's keyword arguments, from the config of a folder.
        overlay: values that replace those of timm's ``pretrained_cfg``, from the same config.
        request: what is asked for.

    Raises:
        SpecError: an option does not suit the model.
        NoSpatialFeaturesError: the model has no feature maps.
    """
    arguments = {**arguments, "num_classes": 0}
    model = _on_meta(architecture, arguments, overlay)
    if not hasattr(model, "forward_intermediates") or not hasattr(model, "feature_info"):
        raise NoSpatialFeaturesError(f"timm:{architecture} ({type(model).__name__}) has no feature maps")
    config: dict[str, Any] = dict(model.pretrained_cfg)  # type: ignore[arg-type]
    positions = _positions_of(architecture, str(config.get("tag") or ""), model)
    sizes, any_size, native = _sizes(model, config, request, own_positions=positions is not None)
    built = {**arguments, **sizes}
    if sizes:
        model = _on_meta(architecture, built, overlay)
    reductions = [int(info["reduction"]) for info in _infos(model)]
    columnar = len(set(reductions)) == 1
    layers = chosen_layers(
        request.layers,
        len(reductions),
        (len(reductions) - 1,) if columnar else default_stages(reductions),
        request.spec,
    )
    norm = _norm(request, columnar=columnar, model=model)
    prefix = int(getattr(model, "num_prefix_tokens", 0)) if columnar else 0
    multiple, minimum = (1, 1) if columnar or not any_size else _padding(model, layers, max(reductions))
    return TimmPlan(
        arguments=built,
        config=config,
        layers=layers,
        depth=len(reductions),
        norm=norm,
        columnar=columnar,
        positions=positions,
        any_size=any_size,
        native_size=native,
        strides=tuple(reductions[layer] for layer in layers),
        multiple=multiple,
        minimum=minimum,
        dim=_dim(
            model, layers, sizes.get("img_size", min(config["input_size"][1:])), norm=norm, where=request.spec
        ),
        prefix=prefix,
        registers=min(prefix, int(getattr(model, "num_reg_tokens", 0) or 0)),
    )


def _on_meta(architecture: str, arguments: Mapping[str, Any], overlay: Mapping[str, Any]) -> nn.Module:
    import timm

    with torch.device("meta"):
        model: nn.Module = timm.create_model(
            architecture, pretrained=False, pretrained_cfg_overlay=dict(overlay), **arguments
        )
    return model.eval()


def _infos(model: nn.Module) -> list[dict[str, Any]]:
    info: Any = model.feature_info
    return list(info if isinstance(info, list) else info.info)


def _positions_of(architecture: str, tag: str, model: nn.Module) -> Interpolation | None:
    if getattr(model, "pos_embed", None) is None:
        return None
    # A folder's config has the tag of its weights beside the name; elsewhere it is part of the name.
    name = architecture if "." in architecture else f"{architecture}.{tag}"
    return next((how for pattern, how in _POSITIONS if re.search(pattern, name)), None)


def _sizes(
    model: nn.Module, config: Mapping[str, Any], request: BackboneRequest, *, own_positions: bool
) -> tuple[dict[str, Any], bool, int]:
    """Arguments that make the model take any size or just one; whether it takes any; its native size."""
    takes = inspect.signature(type(model).__init__).parameters
    native = min(config["input_size"][1:])
    wanted = request.size or native
    if own_positions or not config.get("fixed_input_size") or type(model).__name__ == "VisionTransformerSAM":
        return {}, True, wanted
    for argument, value in (("strict_img_size", False), ("dynamic_img_size", True)):
        if argument in takes:
            return {argument: value}, True, wanted
    if wanted == native:
        return {}, False, native
    if "img_size" not in takes:
        raise SpecError(f"{request.spec}: this model has one size, {native} px: leave out `size`")
    return {"img_size": wanted}, False, wanted


def _norm(request: BackboneRequest, *, columnar: bool, model: nn.Module) -> bool:
    none = isinstance(getattr(model, "norm", None), torch.nn.Identity)
    takes = "norm" in inspect.signature(model.forward_intermediates).parameters  # type: ignore[arg-type]
    can = columnar and takes and not none
    if request.norm and not can:
        raise SpecError(
            f"{request.spec}: the stages of {type(model).__name__} have no norm in common: leave out `norm`"
        )
    return can if request.norm is None else request.norm


def _dim(model: nn.Module, layers: tuple[int, ...], size: int, *, norm: bool, where: str) -> int:
    try:
        maps = intermediates(model, torch.zeros(1, 3, size, size, device="meta"), layers, norm=norm)
    except RuntimeError:  # a model that looks at values cannot run on the meta device; timm has a table
        return sum(int(_infos(model)[layer]["num_chs"]) for layer in layers)
    if any(one.ndim != 4 for one in maps):
        raise NoSpatialFeaturesError(f"{where} gives {[tuple(one.shape) for one in maps]}: no maps")
    return sum(one.shape[1] for one in maps)


def _padding(model: nn.Module, layers: tuple[int, ...], coarsest: int) -> tuple[int, int]:
    """What sides are padded to: multiples of the coarsest stride, if the model accepts two unequal ones.

    Some models need larger images, and some, with attention within blocks, multiples of eight cells.
    """
    for cells in range(1, _CELLS):
        if _runs(model, layers, (cells * coarsest, (cells + 1) * coarsest)):
            return coarsest, cells * coarsest
    return _CELLS * coarsest, _CELLS * coarsest


def _runs(model: nn.Module, layers: tuple[int, ...], size: tuple[int, int]) -> bool:
    try:
        intermediates(model, torch.zeros(1, 3, *size, device="meta"), layers, norm=False)
    except (AssertionError, RuntimeError, ValueError):
        return False
    return True


def intermediates(
    model: nn.Module, pixels: torch.Tensor, layers: tuple[int, ...], *, norm: bool
) -> list[torch.Tensor]:
    """Maps (B, C, h, w) of some layers of a timm model."""
    maps: list[torch.Tensor] = model.forward_intermediates(  # type: ignore[operator]
        pixels, indices=list(layers), norm=norm, output_fmt="NCHW", intermediates_only=True
    )
    return maps
