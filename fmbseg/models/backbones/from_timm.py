"""Backbones from timm: patch tokens of transformers, joined stages of pyramids."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.facts import Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
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
from fmbseg.models.backbones.timm_source import WEIGHTS, TimmSource, find_source
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.hub_files import commit_of
from fmbseg.models.loading.model_folder import find_weights, license_of
from fmbseg.models.loading.preprocessing import stated_transform
from fmbseg.models.loading.transformers_files import CONFIG
from fmbseg.models.loading.weights import check_finite, read_state_dict, reading, seeded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from fmbseg.models.backbones.timm_plan import TimmPlan
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.models.transform import PixelTransform

_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-nc-4.0": "CC-BY-NC-4.0"}


def timm_backbone(name: str, *, hub: HubOptions | None = None, **options: Any) -> FrozenBackbone:
    """Turn any model of timm into a frozen backbone.

    Args:
        name: timm's name with or without a tag, ``hf-hub:owner/name`` or ``local-dir:/folder``, and options.
        options: ``layers``, ``norm``, ``size``, ``precision``, ``weights``, ``compiled``; for weights from a
            file also ``mean``, ``std`` and ``interpolation``, unless the name has the tag of those weights.
        hub: how files are looked for.

    Raises:
        UnknownNameError: timm has no such model.
        AssetUnavailableError: the weights are not here and cannot be fetched.
        SpecError: options that do not suit the model.
        NoSpatialFeaturesError: the model has no feature maps.
        WeightsError: weights that do not fit it or are not finite.
    """
    request = BackboneRequest.read(
        "timm", name, {"hub": hub, **options}, NETWORK_OPTIONS | HUB_OPTIONS | PIXEL_OPTIONS
    )
    source = find_source(request)
    plan = plan_of(source.architecture, source.arguments, source.overlay, request)
    model = _build(source, plan, request)
    commit = None if source.folder is None else commit_of(source.folder)
    where = source.repo or str(source.folder or "no known weights")
    origin = Origin(source.name, where, _license(plan.config, source), commit)
    return frozen(network_of(model, plan), request, _transform(plan, source, request), origin)


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
        # Files other than safetensors are read here: older versions of timm would unpickle anything.
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


def _transform(plan: TimmPlan, source: TimmSource, request: BackboneRequest) -> PixelTransform:
    """The preprocessing stated by the options, by the folder, or by timm for the weights of a tag."""
    of_a_file = request.weights not in (PRETRAINED, RANDOM, NO_WEIGHTS)
    named = source.folder is None and source.name == request.name  # with the tag of its weights
    if request.mean or request.std or (of_a_file and not named):
        return request.stated_transform(request.weights if of_a_file else source.name)
    stated = source.overlay if source.overlay else plan.config
    mean, std = stated.get("mean"), stated.get("std")
    return stated_transform(
        mean,
        std,
        "bilinear" if stated.get("interpolation") == "bilinear" else "bicubic",
        f"{source.folder or source.name} states mean {mean!r} and std {std!r}",
        f"write them into 'pretrained_cfg' of its {CONFIG}",
    )


def _license(config: Mapping[str, Any], source: TimmSource) -> str:
    given = config.get("license")
    if given:
        return _SPDX.get(str(given), str(given))
    return license_of(source.folder, source.repo)


def known_specs() -> list[str]:
    """Specs of every model of timm with weights."""
    import timm

    return [f"timm:{name}" for name in timm.list_pretrained()]
