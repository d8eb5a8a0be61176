"""Where an export puts each photograph's files, and which folders it writes to."""

from __future__ import annotations

import os
import unicodedata
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fmbseg.written import WouldReplaceError, WrittenFiles, read_marker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator


YOLO, PNG, DATASETS = "YOLO export", "indexed PNG export", "datasets export"
_FOLDERS = {YOLO, PNG, DATASETS}


def stems(paths: Iterable[str]) -> dict[str, str]:
    """Each photograph's path without its extension, for formats with one file per photograph.

    Raises:
        ValueError: two photographs would share one file, see :func:`distinct`.

    Example:
        >>> stems(["deep/dog.jpg"])
        {'deep/dog.jpg': 'deep/dog'}
    """
    found = {path: PurePosixPath(path).with_suffix("").as_posix() for path in paths}
    clash = first_clash(found)
    if clash:
        one, other = clash
        raise ValueError(
            f"{one} and {other} would both be {found[other]} in this format: rename one, or export to COCO"
        )
    return found


def first_clash(places: dict[str, str]) -> tuple[str, str] | None:
    """Find two photographs with the same path, or with paths that some file systems cannot tell apart.

    Args:
        places: for each photograph's path its place; two differ where their letters differ, in any case and
            in any form of Unicode.
    """
    first: dict[str, str] = {}
    for path, place in places.items():
        other = first.setdefault(unicodedata.normalize("NFC", place).casefold(), path)
        if other != path:
            return other, path
    return None


@contextmanager
def export_folder(folder: str | Path, kind: str, photographs: Iterable[Path]) -> Iterator[WrittenFiles]:
    """Open a folder for an export.

    Args:
        folder: to write to; created if it does not exist.
        kind: of export, :data:`YOLO`, :data:`PNG` or :data:`DATASETS`.
        photographs: that the labels are of.

    Raises:
        WouldReplaceError: the folder holds an export of another kind, or the photographs themselves, as an
            earlier export put them there; nothing was written.
    """
    folder = Path(folder)
    with WrittenFiles(folder, kind) as out:
        listed = read_marker(folder)
        _refuse_another_kind(folder, kind, listed)
        _refuse_own_photographs(folder, listed, photographs)
        yield out


def _refuse_another_kind(folder: Path, kind: str, listed: dict[str, list[dict[str, object]]]) -> None:
    for name, entries in listed.items():
        for entry in entries:
            other = str(entry["kind"])
            if other in _FOLDERS - {kind} and os.path.lexists(folder / name):
                raise WouldReplaceError(
                    f"{folder} holds another export ({other}: {name}): give each its own folder"
                )


def _refuse_own_photographs(folder: Path, listed: Collection[str], photographs: Iterable[Path]) -> None:
    """An export replaces and removes what the previous one wrote, but never its own photographs."""
    own = {os.path.join(place, name) for place in _names_of(folder) for name in listed}  # noqa: PTH118
    for photograph in photographs:
        if own & _names_of(photograph):
            raise WouldReplaceError(
                f"{photograph} is a photograph of these labels, and {folder} has it from an earlier export: "
                "give another folder"
            )


def _names_of(path: Path) -> set[str]:
    return {os.path.abspath(path), os.path.realpath(path)}  # noqa: PTH100
