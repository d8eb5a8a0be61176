"""Backbones of timm: patch tokens of transformers, joined stages of pyramids."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.facts import BackboneFacts
from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.backbones.request import (
    HUB_OPTIONS,
    NETWORK_OPTIONS,
    NO_WEIGHTS,
    PRETRAINED,
    RANDOM,
    BackboneRequest,
)
from fmbseg.models.backbones.timm_network import network_of, pruned
from fmbseg.models.backbones.timm_plan import plan_of
from fmbseg.models.backbones.timm_source import WEIGHTS, TimmSource, find_source
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.hub_files import commit_of
from fmbseg.models.loading.model_folder import find_weights
from fmbseg.models.loading.weights import check_finite, read_state_dict, reading, seeded
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from fmbseg.models.backbones.timm_plan import TimmPlan

_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-nc-4.0": "CC-BY-NC-4.0"}


def timm_backbone(name: str, **options: Any) -> FrozenBackbone:
    """Make any model of timm a frozen backbone.

    Args:
        name: timm's name with or without a tag, ``hf-hub:owner/name`` or ``local-dir:/folder``, and options.
        options: ``layers``, ``norm``, ``size``, ``precision``, ``weights``, ``compiled``, and how files are
            looked for (see :class:`~fmbseg.models.loading.hub_files.HubOptions`).

    Raises:
        UnknownNameError: timm has no such model.
        AssetUnavailableError: the weights are neither here nor to be had.
        SpecError: options that do not suit the model.
        NoSpatialFeaturesError: the model has no feature maps.
        WeightsError: weights that do not fit it or are not finite.
    """
    request = BackboneRequest.read("timm", name, options, NETWORK_OPTIONS | HUB_OPTIONS)
    source = find_source(request)
    plan = plan_of(source.architecture, source.arguments, source.overlay, request)
    model = _build(source, plan, request)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    network = network_of(model, plan)
    commit = None if source.folder is None else commit_of(source.folder)
    facts = BackboneFacts(
        spec=request.resolved(source.name, commit).spec,
        dim=plan.dim,
        stride=plan.stride,
        native_size=max(1, plan.native_size // plan.stride) * plan.stride,
        transform=_transform(plan.config),
        layers=plan.layers,
        depth=plan.depth,
        final_norm=plan.norm,
        class_tokens=plan.prefix - plan.registers,
        register_tokens=plan.registers,
        any_size=plan.any_size,
        parameters=parameters,
        precision=request.precision,
        license=_license(plan.config, source),
        source=_described(source, request),
        revision=commit if request.weights != RANDOM else None,
    )
    return FrozenBackbone(network, facts, channels_last=not plan.columnar, compiled=request.compiled)


def _build(source: TimmSource, plan: TimmPlan, request: BackboneRequest) -> nn.Module:
    import timm

    overlay = dict(source.overlay)
    on_meta = request.weights == NO_WEIGHTS
    file: Path | None = None
    if request.weights == PRETRAINED:
        assert source.folder is not None
        file = find_weights(source.folder, WEIGHTS)
    elif request.weights not in (NO_WEIGHTS, RANDOM):
        file = Path(request.weights)
        if not file.is_file():
            raise WeightsError(f"{request.spec}: there is no file of weights at {file}")
    if file is not None:
        # What is no safetensors is read here: older versions of timm would unpickle anything.
        safe = file.suffix == ".safetensors"
        overlay |= {"file": str(file)} if safe else {"state_dict": read_state_dict(file)}
        overlay["custom_load"] = False
    with (
        seeded(),
        torch.device("meta") if on_meta else nullcontext(),
        nullcontext() if file is None else reading(file, f"timm:{source.architecture}"),
    ):
        model: nn.Module = timm.create_model(
            source.architecture,
            pretrained=file is not None,
            pretrained_cfg_overlay=overlay,
            **plan.arguments,
        )
    if file is not None:
        check_finite(model, file)
        model.pretrained_cfg.pop("state_dict", None)  # type: ignore[union-attr,operator]
    return pruned(model, plan)


def _transform(config: Mapping[str, Any]) -> PixelTransform:
    return PixelTransform(
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
    )


def _license(config: Mapping[str, Any], source: TimmSource) -> str:
    given = config.get("license")
    if given:
        return _SPDX.get(str(given), str(given))
    return f"see https://huggingface.co/{source.repo}" if source.repo else "unknown"


def _described(source: TimmSource, request: BackboneRequest) -> str:
    if request.weights == RANDOM:
        return "random weights"
    if request.weights not in (PRETRAINED, NO_WEIGHTS):
        return request.weights
    return source.repo or str(source.folder or "no known weights")
