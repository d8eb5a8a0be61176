"""The marker of a folder: the list of what fmbseg wrote there, as it lies on the disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import encode_row, parse_row
from fmbseg.files import DamagedFileError, inside, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

MARKER = ".fmbseg-written.jsonl"
REMEDY = "move it away, or choose another output path"


class WouldReplaceError(ValueError):
    """A file that fmbseg did not write is in the way; the message names it, and nothing was written."""


def read_marker(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The marker's entries by name, several if a run was stopped; damaged ones are ignored.

    So are entries of files outside the folder, and a marker that is a link or not a regular file.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    marker = folder / MARKER
    try:
        if marker.is_symlink() or not marker.is_file():
            return found
        lines = marker.read_bytes().splitlines(keepends=True)
    except OSError:
        return found
    for line in lines:
        try:
            entry, _ = parse_row(line)
        except DamagedFileError:  # then its file is not known as ours, and is not touched
            continue
        if _is_entry(folder, entry):
            found.setdefault(entry["name"], []).append(entry)
    return found


def _is_entry(folder: Path, entry: dict[str, Any]) -> bool:
    """Whether an entry has what one needs; whoever wrote it, nothing outside of its folder is touched."""
    if not all(isinstance(entry.get(key), str) for key in ("name", "kind")):
        return False
    if not any(isinstance(entry.get(key), str) for key in ("sha256", "link")):
        return False
    try:
        inside(folder, entry["name"])
    except ValueError:
        return False
    return True


def check_marker(folder: Path) -> None:
    """Make sure that the marker can be written to, and is no other file by a link.

    Raises:
        WouldReplaceError: it is a link, or no regular file.
    """
    marker = folder / MARKER
    if os.path.lexists(marker) and (marker.is_symlink() or not marker.is_file()):
        raise WouldReplaceError(f"{marker} is no list of what fmbseg wrote, but something else: {REMEDY}")


def append_entry(folder: Path, entry: dict[str, Any]) -> None:
    """List one more file."""
    line, _ = encode_row(entry)
    with (folder / MARKER).open("ab") as file:  # in one call, so that lines of two writers do not mix
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def is_photograph(entry: dict[str, Any]) -> bool:
    """Whether an entry is of a photograph's copy, or a link to one."""
    return "link" in entry or bool(entry.get("photograph"))


def is_same(place: Path, entry: dict[str, Any]) -> bool:
    """Whether a file or link is what an entry says was written there."""
    if "link" in entry:
        return place.is_symlink() and str(place.readlink()) == entry["link"]
    return not place.is_symlink() and place.is_file() and sha256_of(place) == entry["sha256"]
