"""The backbone that a folder holds: ``local-dir:/path/to/folder``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.model_folder import LOCAL, local_folder, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.contracts import Backbone

CONFIG = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"


def folder_backbone(name: str, **options: Any) -> Backbone:
    """Make the backbone that a folder holds: of timm, transformers or open_clip, as its config says.

    Args:
        name: path of the folder, and options as after a ``?`` in any spec.
        options: of the family that it turns out to be.

    Raises:
        AssetUnavailableError: the folder, or a file in it, is not there.
        SpecError: its config is of no known kind.
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
    raise SpecError(
        f"{folder / CONFIG} names neither an 'architecture' (timm) nor a 'model_type' (transformers)"
    )
