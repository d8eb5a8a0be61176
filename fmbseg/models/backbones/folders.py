"""Folders of models that a user has on disk: ``local-dir:/path/to/folder``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.models.assets import AssetUnavailableError
from fmbseg.models.backbones.request import BackboneSpecError, check_name

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone

LOCAL = "local-dir:"
CONFIG = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"


def local_folder(name: str) -> Path:
    """The folder that a name ``local-dir:/path`` or ``/path`` says.

    Raises:
        AssetUnavailableError: it is not there.
        BackboneSpecError: the path leads through ``..``.
    """
    check_name(name, name)
    folder = Path(name.removeprefix(LOCAL)).expanduser()
    if not folder.is_dir():
        raise AssetUnavailableError(
            f"there is no folder {folder}: download the model's repository there first"
        )
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BackboneSpecError: the file is missing, or holds anything else.
    """
    if not path.is_file():
        raise BackboneSpecError(f"{path.parent} is not the folder of a model: {path.name} is missing")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneSpecError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BackboneSpecError(f"{path} holds no JSON object")
    return content


def weights_in(folder: Path, *names: str) -> Path:
    """The first of ``names`` that the folder holds.

    Raises:
        AssetUnavailableError: it holds none.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise AssetUnavailableError(f"{folder} holds no weights: one of {', '.join(names)} is needed")


def folder_backbone(name: str, **options: Any) -> Backbone:
    """Make the backbone that a folder holds: of timm, transformers or open_clip, as its config says.

    Args:
        name: path of the folder, and options as after a ``?`` in any spec.
        options: of the family that it turns out to be.

    Raises:
        AssetUnavailableError: the folder, or a file in it, is not there.
        BackboneSpecError: its config is of no known kind.
    """
    from fmbseg.models.registries import BACKBONES

    folder = local_folder(name.partition("?")[0])
    return BACKBONES.create(f"{_family_of(folder)}:{LOCAL}{name}", **options)


def _family_of(folder: Path) -> str:
    if (folder / OPEN_CLIP_CONFIG).is_file():
        return "open_clip"
    config = read_json(folder / CONFIG)
    if "architecture" in config:
        return "timm"
    if "model_type" in config:
        return "hf"
    raise BackboneSpecError(
        f"{folder / CONFIG} names neither an 'architecture' (timm) nor a 'model_type' (transformers)"
    )
