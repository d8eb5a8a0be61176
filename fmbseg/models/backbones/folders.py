"""The backbone that a folder holds: ``local-dir:/path/to/folder``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.loading import open_clip_files
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.model_folder import LOCAL, local_folder, read_object
from fmbseg.models.loading.transformers_files import CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.contracts import Backbone
    from fmbseg.models.loading.hub_files import HubOptions


def folder_backbone(name: str, *, hub: HubOptions | None = None, **options: Any) -> Backbone:
    """Make the backbone that a folder holds: of timm, transformers or open_clip, according to its config.

    Args:
        name: path of the folder, with options after a ``?`` as in any spec.
        options: those of the family that it turns out to be.
        hub: how to look for other files that it names.

    Raises:
        AssetUnavailableError: the folder, or a file in it, is not there.
        SpecError: the kind of its config is unknown.
    """
    from fmbseg.models.registries import BACKBONES

    folder = local_folder(name.partition("?")[0])
    return BACKBONES.create(f"{_family_of(folder)}:{LOCAL}{name}", hub=hub, **options)


def _family_of(folder: Path) -> str:
    if (folder / open_clip_files.CONFIG).is_file():
        return "open_clip"
    config = read_object(folder / CONFIG)
    if "architecture" in config:
        return "timm"
    if "model_type" in config:
        return "hf"
    raise SpecError(
        f"{folder / CONFIG} names neither an 'architecture' (timm) nor a 'model_type' (transformers)"
    )
