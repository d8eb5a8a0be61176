"""Backbones made from the vision towers of open_clip; the text tower is never built."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.facts import Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
from fmbseg.models.backbones.open_clip_networks import read_tower
from fmbseg.models.backbones.request import (
    HUB_OPTIONS,
    NETWORK_OPTIONS,
    NO_WEIGHTS,
    PIXEL_OPTIONS,
    PRETRAINED,
    RANDOM,
    BackboneRequest,
)
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.hub_files import commit_of
from fmbseg.models.loading.open_clip_files import find_open_clip
from fmbseg.models.loading.weights import fit, part_of, read_state_dict, seeded

if TYPE_CHECKING:
    from torch import nn

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
