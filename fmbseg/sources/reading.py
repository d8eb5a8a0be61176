"""Bytes of files by name, whether the name is a path or a URI."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg import storage
from fmbseg.files import check_regular

if TYPE_CHECKING:
    from typing import BinaryIO

_AHEAD = 1 << 20  # bytes of one request, of a file that is gone through


def read_range(name: str, start: int, length: int) -> bytes:
    """Some bytes of a file, all of them; an OSError if there are fewer."""
    if storage.is_uri(name):
        return storage.read(name, start, start + length)
    with Path(name).open("rb") as file:
        file.seek(start)
        content = file.read(length)
    if len(content) != length:
        raise OSError(f"{name} ends within what was to be read: it was changed")
    return content


def read_whole(name: str) -> bytes:
    """All bytes of a file; an OSError if it cannot be read or is none."""
    if storage.is_uri(name):
        return storage.read(name)
    check_regular(Path(name))
    return Path(name).read_bytes()


def size_of(name: str) -> int:
    """Bytes of a file."""
    return storage.size_of(name) if storage.is_uri(name) else Path(name).stat().st_size


def is_file(name: str) -> bool:
    """Whether there is a file of this name."""
    return (storage.is_uri(name) and storage.is_file(name)) or Path(name).is_file()


def open_file(name: str) -> BinaryIO:
    """Open a file to go through; of a URI, a mebibyte is read at a time."""
    if not storage.is_uri(name):
        check_regular(Path(name))
        return Path(name).open("rb")
    return io.BufferedReader(_Ranges(name), _AHEAD)


class _Ranges(io.RawIOBase):
    """An object in storage as a file that can only be read."""

    def __init__(self, uri: str) -> None:
        self._uri, self._size, self._place = uri, storage.size_of(uri), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._place + len(buffer), self._size)
        if end <= self._place:
            return 0
        content = storage.read(self._uri, self._place, end)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)
