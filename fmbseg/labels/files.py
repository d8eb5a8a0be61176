"""Writing files whole or not at all, and reading lines that a kill may have cut short."""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

_NO_ROOM = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary name beside ``path``; on leaving, flush it to the disk and rename it over ``path``.

    On an error the temporary file is removed and what was at ``path`` stays.

    Raises:
        OSError: it cannot be written; a full disk is told as such.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with telling_of_a_full_disk(path):
        with temporary.open("wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        temporary.replace(path)


@contextmanager
def telling_of_a_full_disk(path: Path) -> Iterator[None]:
    """Say of an error for want of room what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(
            error.errno,
            f"no room to write {path} ({os.strerror(error.errno or 0)}): what was written before is kept. "
            "Free some space and run the same again; a labelling or training continues where it stopped",
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with open_atomically(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_atomically(path, encode(json.dumps(content, indent=2, ensure_ascii=False) + "\n"))


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a file of one JSON object a line, whole or not at all."""
    with open_atomically(path) as file:
        for row in rows:
            file.write(encode(json.dumps(row, ensure_ascii=False) + "\n"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line; a last line that was cut short by a kill is left out."""
    return [row for row, _ in iterate_jsonl(path)]


def iterate_jsonl(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each object of such a file with the position of the byte after its line; none if it is absent.

    Raises:
        ValueError: a line that is whole, but no JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        end = 0
        for line in file:
            if not line.endswith(b"\n"):  # what follows the last line feed was not finished
                return
            end += len(line)
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(
                    f"{path} is damaged ({error}). Restore it, or delete it and run the same labelling again"
                ) from error
            yield row, end


def encode(text: str) -> bytes:
    """UTF-8; bytes of a file name that are not, which Python keeps as lone surrogates, as JSON escapes."""
    return text.encode("utf-8", "backslashreplace")
