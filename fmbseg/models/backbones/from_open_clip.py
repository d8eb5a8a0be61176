"""Backbones made of the vision towers of open_clip; the text tower is never built."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.facts import BackboneFacts
from fmbseg.models.backbones.folders import OPEN_CLIP_CONFIG
from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.backbones.open_clip_networks import read_tower
from fmbseg.models.backbones.request import (
    HUB_OPTIONS,
    NETWORK_OPTIONS,
    NO_WEIGHTS,
    PRETRAINED,
    RANDOM,
    BackboneRequest,
)
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.hub_files import cached_folder, commit_of, hub_folder
from fmbseg.models.loading.model_folder import LOCAL, find_weights, local_folder, model_folder, read_json
from fmbseg.models.loading.weights import fit, part_of, read_state_dict, seeded
from fmbseg.models.transform import PixelTransform
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

HUB = "hf-hub:"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class _Source:
    """A model's config, that of its pixels, where its files are, and which of them may be its weights."""

    name: str
    model: Mapping[str, Any]
    pixels: Mapping[str, Any] = field(default_factory=dict)
    repo: str | None = None
    folder: Path | None = None
    weights: tuple[str, ...] = _WEIGHTS


def open_clip_backbone(name: str, **options: Any) -> FrozenBackbone:
    """Make the vision tower of a model of open_clip a frozen backbone: patch tokens before the projection.

    Args:
        name: ``model/tag``, or ``model`` for weights from elsewhere, ``hf-hub:owner/name`` or
            ``local-dir:/folder``; and options.
        options: ``layers``, ``norm``, ``size``, ``precision``, ``weights``, ``compiled``, and how files are
            looked for (see :class:`~fmbseg.models.loading.hub_files.HubOptions`).

    Raises:
        UnknownNameError: open_clip has no such model, or the model no such tag.
        AssetUnavailableError: the weights are neither here nor to be had.
        SpecError: options that do not suit the model.
        WeightsError: weights that do not fit it or are not finite.
    """
    request = BackboneRequest.read("open_clip", name, options, NETWORK_OPTIONS | HUB_OPTIONS)
    source = _find(request)
    vision = dict(source.model["vision_cfg"])
    file = _weights_file(source, request)

    def load(model: nn.Module, left_out: tuple[str, ...]) -> None:
        if file is not None:
            fit(model, part_of(read_state_dict(file), "visual.", file), file, request.spec, left_out)

    with seeded(), torch.device("meta") if request.weights == NO_WEIGHTS else nullcontext():
        tower = read_tower(int(source.model["embed_dim"]), vision, _quick_gelu(source), request, load)
    commit = None if source.folder is None else commit_of(source.folder)
    facts = BackboneFacts(
        spec=request.resolved(source.name, commit).spec,
        dim=tower.dim,
        stride=tower.stride,
        native_size=max(1, (request.size or tower.native_size) // tower.stride) * tower.stride,
        transform=_transform(source.pixels),
        layers=tower.layers,
        depth=tower.depth,
        final_norm=tower.norm,
        class_tokens=tower.class_tokens,
        register_tokens=0,
        any_size=tower.any_size,
        parameters=sum(parameter.numel() for parameter in tower.network.parameters()),
        precision=request.precision,
        license=f"see https://huggingface.co/{source.repo}" if source.repo else "unknown",
        source=_described(source, request),
        revision=commit if request.weights != RANDOM else None,
    )
    return FrozenBackbone(tower.network, facts, channels_last=tower.pyramid, compiled=request.compiled)


def _find(request: BackboneRequest) -> _Source:
    import open_clip

    if request.name.startswith((HUB, LOCAL)):
        return _of_folder(request)
    name, _, tag = request.name.partition("/")
    model = open_clip.get_model_config(name)
    if model is None:
        raise UnknownNameError("model of open_clip", name, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag and tag.lower().replace("-", "_") not in {known.lower().replace("-", "_") for known in tags}:
        raise UnknownNameError(f"tag of open_clip's {name}", tag, tags)
    if not tag:
        if request.weights in (PRETRAINED, NO_WEIGHTS):
            raise SpecError(f"open_clip:{name} names no weights: add one of {name}/{{{', '.join(tags)}}}")
        return _Source(name, model)
    pixels = open_clip.get_pretrained_cfg(name, tag)
    repo, _, file = str(pixels.get("hf_hub") or "").rpartition("/")  # of some tags one file is named
    weights = (file, *_WEIGHTS) if file else _WEIGHTS
    folder: Path | None = None
    if request.weights == PRETRAINED:
        folder = model_folder(repo, weights, request.hub)
    elif request.weights == NO_WEIGHTS:
        cached = (cached_folder(repo, (one,), request.hub) for one in weights)
        folder = next((one for one in cached if one is not None), None)
    return _Source(request.name, model, pixels, repo, folder, weights)


def _of_folder(request: BackboneRequest) -> _Source:
    """A folder, or a repository of the Hub, with a config of open_clip's."""
    repo: str | None = None
    if request.name.startswith(LOCAL):
        folder = local_folder(request.name)
    else:
        repo = request.name.removeprefix(HUB)
        needed = (OPEN_CLIP_CONFIG,)
        if request.weights == PRETRAINED:
            folder = model_folder(repo, _WEIGHTS, request.hub, needed=needed)
        else:
            folder = hub_folder(repo, needed, request.hub)
    config = read_json(folder / OPEN_CLIP_CONFIG)
    if not isinstance(config.get("model_cfg"), dict):
        raise SpecError(f"{folder / OPEN_CLIP_CONFIG} has no 'model_cfg': it is not open_clip's")
    return _Source(request.name, config["model_cfg"], config.get("preprocess_cfg") or {}, repo, folder)


def _weights_file(source: _Source, request: BackboneRequest) -> Path | None:
    if request.weights == PRETRAINED:
        assert source.folder is not None
        return find_weights(source.folder, source.weights)
    return None if request.weights in (NO_WEIGHTS, RANDOM) else Path(request.weights)


def _quick_gelu(source: _Source) -> bool:
    """As the weights were trained, whatever the model's name says: open_clip itself only warns."""
    return bool(source.pixels.get("quick_gelu", source.model.get("quick_gelu", False)))


def _transform(pixels: Mapping[str, Any]) -> PixelTransform:
    return PixelTransform(
        mean=tuple(pixels.get("mean", _OPENAI_MEAN)),
        std=tuple(pixels.get("std", _OPENAI_STD)),
        interpolation="bilinear" if pixels.get("interpolation") == "bilinear" else "bicubic",
    )


def _described(source: _Source, request: BackboneRequest) -> str:
    if request.weights == RANDOM:
        return "random weights"
    if request.weights not in (PRETRAINED, NO_WEIGHTS):
        return request.weights
    return source.repo or str(source.folder)
