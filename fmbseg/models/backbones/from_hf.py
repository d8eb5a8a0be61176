"""Backbones from transformers, loaded from the Hub, its cache or a folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.facts import Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
from fmbseg.models.backbones.grids import NoSpatialFeaturesError
from fmbseg.models.backbones.hf_kinds import ARCHITECTURES, KINDS
from fmbseg.models.backbones.hf_wiring import wire
from fmbseg.models.backbones.presets import gate_of
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
from fmbseg.models.loading.model_folder import LOCAL, license_of, local_folder
from fmbseg.models.loading.transformers_files import (
    CONFIG,
    PREPROCESSOR,
    UNNORMALISED,
    class_of,
    configuration,
    load_transformer,
    pixel_transform,
    read_config,
    transformers_folder,
)
from fmbseg.models.loading.weights import seeded

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from fmbseg.models.backbones.hf_kinds import Kind
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.models.transform import PixelTransform


@dataclass(frozen=True)
class _Source:
    """A model's config, and the folder of its files if they are on this machine."""

    config: Any
    kind: Kind
    repo: str | None
    folder: Path | None


def hf_backbone(name: str, *, hub: HubOptions | None = None, **options: Any) -> FrozenBackbone:
    """Turn a vision model of transformers, or the vision tower of a two-tower model, into a frozen backbone.

    Args:
        name: ``owner/repository`` or ``local-dir:/folder``, and options.
        options: ``layers``, ``norm``, ``size``, ``precision``, ``weights``, ``compiled``.
        hub: how files are looked for.

    Raises:
        AssetUnavailableError: the files are not here and cannot be fetched.
        SpecError: options that do not suit the model.
        NoSpatialFeaturesError: it is not a vision model, or its type is not known to fmbseg.
        WeightsError: weights that do not fit it or are not finite.
    """
    request = BackboneRequest.read("hf", name, {"hub": hub, **options}, NETWORK_OPTIONS | HUB_OPTIONS)
    source = _find(request)
    if request.precision == "fp16" and not source.kind.float16:
        raise SpecError(f"{request.spec}: {source.kind.model} gives NaN in fp16: take precision=bf16")
    model = _build(source, request)
    grid = wire(model, source.config, source.kind, request)
    where = "no known place" if source.folder is None else str(source.folder)
    commit = None if source.folder is None else commit_of(source.folder)
    origin = Origin(request.name, source.repo or where, _license(source), commit)
    return frozen(grid, request, _transform(source, request), origin)


def _find(request: BackboneRequest) -> _Source:
    name = request.name
    if request.weights not in (PRETRAINED, RANDOM, NO_WEIGHTS):
        raise SpecError(
            f"{request.spec}: weights are 'pretrained' or 'random'; name your own folder 'hf:{LOCAL}/...'"
        )
    if name.startswith(LOCAL):
        folder = local_folder(name)
        return _known(read_config(folder), None, folder, request)
    if request.weights == PRETRAINED:
        gate = gate_of(name)
        folder = transformers_folder(
            name,
            request.hub,
            licence=gate.licence if gate else "",
            alternative=gate.alternative if gate else "",
        )
        return _known(read_config(folder), name, folder, request)
    if name in ARCHITECTURES:
        model_type, values = ARCHITECTURES[name]
        return _known(
            {"model_type": model_type, **values}, name, cached_folder(name, (CONFIG,), request.hub), request
        )
    folder = hub_folder(name, (CONFIG,), request.hub)
    return _known(read_config(folder), name, folder, request)


def _known(
    config: dict[str, Any], repo: str | None, folder: Path | None, request: BackboneRequest
) -> _Source:
    model_type = str(config.get("model_type", ""))
    if model_type not in KINDS:
        raise NoSpatialFeaturesError(
            f"{request.spec}: fmbseg reads no patch features from model_type {model_type!r}; it does from "
            f"{', '.join(sorted(KINDS))}. Wrap the model as a backbone of your own instead"
        )
    kind = KINDS[model_type]
    class_of(kind.model)
    whole = configuration(model_type, config, folder or request.spec)
    return _Source(getattr(whole, kind.tower) if kind.tower else whole, kind, repo, folder)


def _build(source: _Source, request: BackboneRequest) -> nn.Module:
    model_class = class_of(source.kind.model)
    if source.kind.model == "ViTMAEModel":
        source.config.mask_ratio = 0.0
    if request.weights == PRETRAINED:
        assert source.folder is not None
        prefix = source.kind.prefix
        renamed = {"key_mapping": {rf"^{prefix}\.": ""}} if prefix else {}
        loaded: nn.Module = load_transformer(
            model_class, source.folder, config=source.config, **source.kind.arguments, **renamed
        )
        return loaded
    with seeded(), torch.device("meta") if request.weights == NO_WEIGHTS else nullcontext():
        made: nn.Module = model_class(source.config, **source.kind.arguments)
    return made.eval()


def _transform(source: _Source, request: BackboneRequest) -> PixelTransform:
    """The preprocessing stated with the weights; the kind's own if there are none, or they are not here."""
    kind = source.kind
    if source.folder is not None and (
        request.weights == PRETRAINED or (source.folder / PREPROCESSOR).is_file()
    ):
        return pixel_transform(source.folder, UNNORMALISED if kind.transform == UNNORMALISED else None)
    return kind.transform


def _license(source: _Source) -> str:
    gate = gate_of(source.repo or "")
    if gate:
        return f"{gate.licence}, https://huggingface.co/{source.repo}"
    return license_of(source.folder, source.repo)


def known_specs() -> list[str]:
    """Specs of the gated models whose shape is known without their files; the Hub lists the others."""
    return [f"hf:{repo}" for repo in ARCHITECTURES]
