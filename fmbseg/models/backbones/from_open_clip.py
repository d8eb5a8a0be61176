"""Backbones made from the vision towers of open_clip; the text tower is never built."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import nn

from fmbseg.models.backbones.facts import GridNetwork, Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
from fmbseg.models.backbones.grids import Pyramid, chosen_layers, default_stages, tokens_to_grid
from fmbseg.models.backbones.positions import PLAIN, PositionTable
from fmbseg.models.backbones.request import (
    HUB_OPTIONS,
    NETWORK_OPTIONS,
    NO_WEIGHTS,
    PIXEL_OPTIONS,
    PRETRAINED,
    RANDOM,
    BackboneRequest,
)
from fmbseg.models.backbones.timm_network import network_of, pruned
from fmbseg.models.backbones.timm_plan import plan_of
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.hub_files import commit_of
from fmbseg.models.loading.open_clip_files import find_open_clip
from fmbseg.models.loading.weights import fit, part_of, read_state_dict, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fmbseg.models.loading.hub_files import HubOptions


def open_clip_backbone(name: str, *, hub: HubOptions | None = None, **options: Any) -> FrozenBackbone:
    """Turn the vision tower of an open_clip model into a frozen backbone: patch tokens before the projection.

    Args:
        name: ``ARCH/TAG``, ``hf-hub:owner/name``, ``local-dir:/folder``, ``ARCH@/path/of/weights``, or
            ``ARCH`` for random weights; and options.
        options: ``layers``, ``norm``, ``size``, ``precision``, ``weights``, ``compiled``; for ``ARCH@FILE``
            also ``mean``, ``std`` and ``interpolation``.
        hub: how files are looked for.

    Raises:
        UnknownNameError: open_clip has no such model, or the model has no such tag.
        AssetUnavailableError: the weights are not here and cannot be fetched.
        SpecError: options that do not suit the model.
        WeightsError: weights that do not fit it, are not finite or come without their preprocessing.
    """
    request = BackboneRequest.read(
        "open_clip", name, {"hub": hub, **options}, NETWORK_OPTIONS | HUB_OPTIONS | PIXEL_OPTIONS
    )
    if request.weights not in (PRETRAINED, RANDOM, NO_WEIGHTS):
        raise SpecError(
            f"{request.spec}: weights are 'pretrained' or 'random'; name your own file 'open_clip:ARCH@/path'"
        )
    stated = {"mean": request.mean, "std": request.std, "interpolation": request.interpolation}
    files = find_open_clip(request.name, request.hub, stated, with_weights=request.weights == PRETRAINED)
    weights = files.weights if request.weights == PRETRAINED else None

    def load(model: nn.Module, left_out: tuple[str, ...]) -> None:
        if weights is not None:
            state = part_of(read_state_dict(weights), "visual.", weights)
            fit(model, state, weights, f"open_clip's {request.name}", left_out)

    vision, quick_gelu = dict(files.config["vision_cfg"]), bool(files.config.get("quick_gelu", False))
    with seeded(), torch.device("meta") if request.weights == NO_WEIGHTS else nullcontext():
        grid = read_tower(int(files.config["embed_dim"]), vision, quick_gelu, request, load)
    commit = None if files.folder is None else commit_of(files.folder)
    source = files.repo or str(files.folder or files.weights)
    return frozen(grid, request, files.transform, Origin(request.name, source, files.license, commit))


def known_specs() -> list[str]:
    """Specs of every model of open_clip with weights."""
    import open_clip

    return [f"open_clip:{model}/{tag}" for model, tag in open_clip.list_pretrained()]


Load: TypeAlias = "Callable[[nn.Module, tuple[str, ...]], None]"

_AFTER_THE_TRUNK = ("attn_pool.", "head.", "fc_norm.", "norm.", "blocks.")  # cut off if not read
_RESNET_STRIDES = (4, 8, 16, 32)


def read_tower(
    embed_dim: int, vision: Mapping[str, Any], quick_gelu: bool, request: BackboneRequest, load: Load
) -> GridNetwork:
    """Build a vision tower, load its weights, and build the network that reads it.

    Args:
        embed_dim: dimensions of the text space; they decide the shape of parts that are not read.
        vision: the model's ``vision_cfg``.
        quick_gelu: whether to use OpenAI's approximation of the activation.
        request: what is asked for.
        load: fills a model whose tensors are named as in a checkpoint after ``visual.``; its second argument
            lists prefixes of other names that the checkpoint may have.

    Raises:
        SpecError: the tower does not have the layers or the norm that were asked for.
    """
    if vision.get("timm_model_name"):
        return _timm(vision, request, load)
    # The one private name used here: the public way also builds the text tower, sometimes from the Hub.
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    visual = _build_vision_tower(embed_dim, CLIPVisionCfg(**vision), quick_gelu).eval()
    if isinstance(vision.get("layers"), list | tuple):
        return _resnet(visual, vision, request, load)
    load(visual, ())
    return _transformer(visual, vision, request)


def _transformer(visual: Any, vision: Mapping[str, Any], request: BackboneRequest) -> GridNetwork:
    depth, width, patch = (
        len(visual.transformer.resblocks),
        int(visual.conv1.out_channels),
        visual.conv1.stride[0],
    )
    layers = chosen_layers(request.layers, depth, (depth - 1,), request.spec)
    # With attentional pooling, ln_post comes after it, has another width and is not for patches.
    fits = tuple(getattr(visual.ln_post, "normalized_shape", ())) == (width,)
    if request.norm and not fits:
        raise SpecError(f"{request.spec}: the final norm of this tower is not for patches: leave out `norm`")
    norm = fits if request.norm is None else request.norm
    size = vision.get("image_size", 224)
    return GridNetwork(
        _ClipTokens(visual, layers, norm=norm),
        dim=width * len(layers),
        stride=int(patch),
        native_size=min(size) if isinstance(size, list | tuple) else int(size),
        layers=layers,
        depth=depth,
        final_norm=norm,
        class_tokens=1,
    )


class _ClipTokens(nn.Module):
    """Patch tokens of some blocks of CLIP's own transformer, joined, as a grid."""

    def __init__(self, visual: Any, layers: tuple[int, ...], *, norm: bool) -> None:
        super().__init__()
        self.visual = visual
        self._layers = layers
        self._norm = norm
        self._positions = PositionTable(visual.positional_embedding[None], prefix=1, how=PLAIN)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        visual = self.visual
        patches = visual.conv1(pixels)
        grid = (patches.shape[-2], patches.shape[-1])
        tokens = torch.cat(
            [visual.class_embedding.expand(len(pixels), 1, -1), patches.flatten(2).transpose(1, 2)], dim=1
        )
        tokens = visual.ln_pre(tokens + self._positions(grid))
        batch_first = getattr(visual.transformer, "batch_first", True)
        maps = []
        for index, block in enumerate(visual.transformer.resblocks[: self._layers[-1] + 1]):
            tokens = block(tokens) if batch_first else block(tokens.transpose(0, 1)).transpose(0, 1)
            if index in self._layers:
                read = visual.ln_post(tokens) if self._norm else tokens
                maps.append(tokens_to_grid(read, grid, prefix=1))
        return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)


def _resnet(visual: Any, vision: Mapping[str, Any], request: BackboneRequest, load: Load) -> GridNetwork:
    if request.norm:
        raise SpecError(f"{request.spec}: the stages of a pyramid have no norm in common: leave out `norm`")
    layers = chosen_layers(request.layers, 4, default_stages(_RESNET_STRIDES), request.spec)
    del visual.attnpool  # it pools, and fits images of one size only
    load(visual, ("attnpool.",))

    def stages(pixels: torch.Tensor) -> list[torch.Tensor]:
        maps, one = [], visual.stem(pixels)
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4)[: layers[-1] + 1]:
            one = stage(one)
            maps.append(one)
        return [maps[layer] for layer in layers]

    strides = [_RESNET_STRIDES[layer] for layer in layers]
    width = int(vision.get("width", 64)) * 4
    return GridNetwork(
        Pyramid(visual, stages, strides=strides, multiple=32),
        dim=sum(width * 2**layer for layer in layers),
        stride=strides[0],
        native_size=int(vision.get("image_size", 224)),
        layers=layers,
        depth=4,
        pyramid=True,
    )


def _timm(vision: Mapping[str, Any], request: BackboneRequest, load: Load) -> GridNetwork:
    import timm

    architecture = str(vision["timm_model_name"])
    size = int(vision.get("image_size", 224))
    pool = vision.get("timm_pool") or None
    arguments = {"global_pool": pool} if pool in ("map", "token", "avg") else {}
    plan = plan_of(architecture, arguments, {}, request)
    model = pruned(timm.create_model(architecture, pretrained=False, **plan.arguments), plan)
    holder = nn.Module()
    holder.trunk = model
    load(holder, ("head.", *(f"trunk.{part}" for part in _AFTER_THE_TRUNK)))
    grid = network_of(model, plan)
    return grid._replace(native_size=size) if plan.any_size else grid
