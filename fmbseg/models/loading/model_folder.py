"""A model's files as one local folder, whether it is named by its folder or by its Hub repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.files import DamagedFileError, parse_json
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError
from fmbseg.models.loading.hub_files import INDEX, HubOptions, hub_folder_of, parts_of
from fmbseg.models.loading.spec_options import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL = "local-dir:"
UNKNOWN_LICENSE = "unknown (see the model's card)"

# All the small files that a model may need besides its weights; README.md is for its licence.
SIDE_FILES = ("*.json", "*.txt", "*.model", "README.md")


def model_folder(
    name: str,
    weights: Sequence[str],
    options: HubOptions,
    *,
    needed: Sequence[str] = (),
    alternative: str = "",
    licence: str = "",
) -> Path:
    """Return the folder of a model, fetched if necessary, with at least one of its files of weights.

    Args:
        name: ``local-dir:/path/to/folder``, or ``owner/name`` on the Hub.
        weights: names of files of weights, the best first; the first one that exists is fetched, and an
            index (``....index.json``) with all its parts.
        options: how to look for them on the Hub.
        needed: files that must exist beside them.
        alternative: for a gated repository, the spec of a model that anyone may use instead.
        licence: for a repository known to be gated, the name of its licence.

    Raises:
        AssetUnavailableError: there is no such folder, or the files cannot be had.

    Example:
        >>> model_folder("local-dir:/no/such", ["model.safetensors"], HubOptions())
        Traceback (most recent call last):
        ...
        fmbseg.models.loading.errors.AssetUnavailableError: there is no folder /no/such: ...
    """
    if name.startswith(LOCAL):
        folder = local_folder(name)
        find_weights(folder, weights)
        return folder
    choices = [_with_parts(one) for one in weights]
    return hub_folder_of(
        name, needed, choices, options, optional=SIDE_FILES, alternative=alternative, licence=licence
    )


def _with_parts(weights: str) -> tuple[str, ...]:
    """The file, and if it is an index of weights in several files, also the pattern of these."""
    base, mark, _ = weights.partition(".index.json")
    stem, _, suffix = base.rpartition(".")
    return (weights, f"{stem}-*.{suffix}") if mark else (weights,)


def check_parts(weights: Path) -> None:
    """Refuse an index of weights in several files that names a file outside its folder, or none.

    Raises:
        WeightsError: the index is damaged, or names such a file or one that is missing.
    """
    if weights.name.endswith(INDEX):
        absent = [part for part in parts_of(weights) if not (weights.parent / part).is_file()]
        if absent:
            raise WeightsError(f"{weights} names {absent[0]}, which is not there: get the whole model again")


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
        AssetUnavailableError: none of them is.
    """
    for name in weights:
        if (folder / name).is_file():
            return folder / name
    raise AssetUnavailableError(f"{folder} holds none of {', '.join(weights)}: put the model's weights there")


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        AssetUnavailableError: there is no such file.
        WeightsError: it holds no JSON object.
    """
    if not path.is_file():
        raise AssetUnavailableError(f"{path.parent} has no {path.name}: put the model's own there")
    try:
        content = parse_json(path.read_bytes(), path)
    except DamagedFileError as error:
        raise WeightsError(f"{error}: get it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no JSON object, but {type(content).__name__}: get it again")
    return content


def license_of(folder: Path | None, repo: str | None = None) -> str:
    """Return the licence that the model's card (README.md) states; where it states none, where to look.

    Args:
        folder: the model's folder, if it is here.
        repo: its repository, if it comes from the Hub.
    """
    from huggingface_hub import ModelCard

    stated = None
    if folder is not None and (folder / "README.md").is_file():
        text = (folder / "README.md").read_text("utf-8", errors="replace")
        data = ModelCard(text, ignore_metadata_errors=True).data
        stated = data.get("license")
        if stated == "other":  # the Hub has no name for the licence
            stated = data.get("license_name") or stated
    return str(stated) if stated else f"see https://huggingface.co/{repo}" if repo else UNKNOWN_LICENSE
