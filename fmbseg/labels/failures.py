"""``errors.jsonl``: the photographs that could not be labelled, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.checksums import read_rows, write_rows
from fmbseg.files import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ERRORS = "errors.jsonl"
_FIELDS = {"manifest": str, "shard": int, "path": str, "error": str}


def read_failures(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the photographs that could not be labelled, each with ``shard``, ``path`` and ``error``.

    Args:
        folder: of the label set.
        manifest: of the label set.

    Raises:
        DamagedFileError: the file is not as it was written, or of another label set.
    """
    path = folder / ERRORS
    try:
        rows = read_rows(path)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error}. {_REMEDY}") from error
    for number, row in enumerate(rows, start=1):
        if {name: type(value) for name, value in row.items()} != _FIELDS:
            raise DamagedFileError(f"{path}, line {number}, is not a record of a photograph. {_REMEDY}")
        if row.pop("manifest") != manifest["hash"]:
            raise DamagedFileError(f"{path}, line {number}, belongs to another label set. {_REMEDY}")
    return rows


def write_failures(folder: Path, manifest: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the list, whole or not at all; no file is written for an empty list."""
    listed = [{"manifest": manifest["hash"], **row} for row in rows]
    if listed:
        write_rows(folder / ERRORS, listed)
    else:
        (folder / ERRORS).unlink(missing_ok=True)


_REMEDY = (
    "Restore it, or delete it and run the same labelling again, which names the shards that must be redone"
)
