"""A model's files as one local folder, whether it is named by its folder or by its Hub repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.models.assets import AssetUnavailableError
from fmbseg.models.checkpoints import CheckpointError
from fmbseg.models.hub_files import HubOptions, hub_folder_of
from fmbseg.models.spec_options import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL = "local-dir:"
UNKNOWN_LICENSE = "unknown (see the model's card)"

# Everything small that a model may need besides its weights; README.md for its licence.
SIDE_FILES = ("*.json", "*.txt", "*.model", "README.md")


def model_folder(
    name: str, weights: Sequence[str], options: HubOptions, *, extra: Sequence[str] = ()
) -> Path:
    """Return the folder of a model, fetched if need be, with at least one of its files of weights.

    Args:
        name: ``local-dir:/path/to/folder``, or ``owner/name`` on the Hub.
        weights: names of files of weights, the best first; of those only the first that there is is fetched.
        options: how to look for them on the Hub.
        extra: patterns of further files to fetch.

    Raises:
        AssetUnavailableError: there is no such folder, or the files cannot be had.

    Example:
        >>> model_folder("local-dir:/no/such", ["model.safetensors"], HubOptions())
        Traceback (most recent call last):
        ...
        fmbseg.models.assets.AssetUnavailableError: there is no folder /no/such: download the model's \
repository there first
    """
    if name.startswith(LOCAL):
        folder = local_folder(name)
        find_weights(folder, weights)
        return folder
    return hub_folder_of(name, (), weights, options, optional=[*SIDE_FILES, *extra])


def local_folder(name: str) -> Path:
    """Return the folder that ``local-dir:/path`` names.

    Raises:
        AssetUnavailableError: it is not there.
        SpecError: the path leads through ``..``.
    """
    path = name.removeprefix(LOCAL)
    check_name(path, name)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise AssetUnavailableError(
            f"there is no folder {folder}: download the model's repository there first"
        )
    return folder


def find_weights(folder: Path, weights: Sequence[str]) -> Path:
    """Return the first of these files that is in ``folder``.

    Raises:
        AssetUnavailableError: none is.
    """
    for name in weights:
        if (folder / name).is_file():
            return folder / name
    raise AssetUnavailableError(f"{folder} holds none of {', '.join(weights)}: put the model's weights there")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        AssetUnavailableError: there is no such file.
        CheckpointError: it holds no JSON object.
    """
    if not path.is_file():
        raise AssetUnavailableError(f"{path.parent} has no {path.name}: put the model's own there")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON ({error}): get it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object, but {type(content).__name__}: get it again")
    return content


def license_of(folder: Path) -> str:
    """Return the licence that the model's card (README.md) states, or say that it states none."""
    from huggingface_hub import ModelCard

    card = folder / "README.md"
    if not card.is_file():
        return UNKNOWN_LICENSE
    data = ModelCard(card.read_text("utf-8"), ignore_metadata_errors=True).data
    stated = data.get("license")
    return str(stated) if stated else UNKNOWN_LICENSE
