"""Where a model of timm comes from, found before anything is built."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fmbseg.models.backbones.presets import PRESETS
from fmbseg.models.backbones.request import (
    NO_WEIGHTS,
    PRETRAINED,
    BackboneRequest,
)
from fmbseg.models.loading.errors import AssetUnavailableError, SpecError
from fmbseg.models.loading.hub_files import cached_folder
from fmbseg.models.loading.model_folder import LOCAL, local_folder, model_folder, read_object
from fmbseg.models.loading.transformers_files import CONFIG
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_HUB = "hf-hub:"
_OVERLAID = (
    "num_classes",
    "input_size",
    "fixed_input_size",
    "interpolation",
    "mean",
    "std",
    "license",
    "tag",
)


@dataclass(frozen=True)
class TimmSource:
    """Where a model of timm comes from.

    Args:
        architecture: timm's name, with the tag of its weights if there is one.
        name: the model's name in a spec.
        repo: its repository on the Hub, if it comes from there.
        folder: folder of its files, if they are on this machine.
        overlay: values that replace those of timm's ``pretrained_cfg``, from the folder's config.
        arguments: the model's keyword arguments, from the same config.
    """

    architecture: str
    name: str
    repo: str | None = None
    folder: Path | None = None
    overlay: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def find_source(request: BackboneRequest) -> TimmSource:
    """Find the files; where the name alone says which they are, before timm is imported or anything is built.

    Raises:
        UnknownNameError: timm has no such model.
        AssetUnavailableError: the weights are not here and cannot be fetched.
    """
    name = request.name
    if name.startswith(LOCAL):
        return _of_folder(name, local_folder(name))
    if name.startswith(_HUB):
        repo = name.removeprefix(_HUB)
        return _of_folder(name, model_folder(repo, WEIGHTS, request.hub, needed=(CONFIG,)), repo)
    if f"timm:{name}" not in PRESETS.values():
        name = _known(name)
    repo = _repo_of(name)
    if not repo and request.weights == PRETRAINED:
        raise AssetUnavailableError(
            f"timm has no weights on the Hub for {name}: name a file of your own by '?weights=/path/to/file'"
        )
    if request.weights == PRETRAINED:
        return TimmSource(name, name, repo, model_folder(repo, WEIGHTS, request.hub, needed=(CONFIG,)))
    if repo and request.weights == NO_WEIGHTS:
        return TimmSource(name, name, repo, cached_folder(repo, (CONFIG,), request.hub))
    return TimmSource(name, name)


def _of_folder(name: str, folder: Path, repo: str | None = None) -> TimmSource:
    config = read_object(folder / CONFIG)
    architecture = str(config.get("architecture", ""))
    given = {**config, **config.get("pretrained_cfg", {})}
    overlay = {key: value for key, value in given.items() if key in _OVERLAID}
    known = _known(architecture, tagged=False)
    return TimmSource(known, name, repo, folder, overlay, _arguments_of(config, folder))


def _arguments_of(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The model's arguments, without those of timm's loader, which could name files of this machine."""
    import timm

    arguments = config.get("model_args") or {}
    loaders = {*inspect.signature(timm.create_model).parameters, "pretrained_model_args"}
    wrong = sorted(loaders & set(arguments)) if isinstance(arguments, dict) else ["no JSON object"]
    if wrong:
        raise SpecError(
            f"{folder / CONFIG}: 'model_args' holds {', '.join(wrong)}: "
            "it may hold the sizes of a model alone"
        )
    return dict(arguments)


def _known(name: str, *, tagged: bool = True) -> str:
    """The name as timm has it, with the tag of its default weights if it has none."""
    import timm

    if not timm.is_model(name):
        raise UnknownNameError("model of timm", name, timm.list_models())
    bare, _, tag = name.partition(".")
    tags = [
        known.partition(".")[2]
        for known in timm.list_pretrained(bare + "*")
        if known.partition(".")[0] == bare
    ]
    if tag and tag not in tags:
        raise UnknownNameError("model of timm", name, [f"{bare}.{known}" for known in tags])
    if tag or not tagged or not tags:
        return name
    config = timm.get_pretrained_cfg(bare)
    return f"{bare}.{config.tag}" if config and config.tag else name


def _repo_of(name: str) -> str:
    """The Hub repository of a name, which for almost all names is that name under ``timm``."""
    if f"timm:{name}" in PRESETS.values():
        return f"timm/{name}"
    import timm

    config = timm.get_pretrained_cfg(name)
    return str(config.hf_hub_id or "") if config else ""
