"""Checksums over a whole Parquet file, kept in its footer, so that any damaged byte is found.

Parquet has checksums of pages alone: headers and the footer have none. Here the footer, which a reader needs
to know what is in a file, carries a hash of all that is before it, and one of itself.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from fmbseg.files import DamagedFileError, check_regular

if TYPE_CHECKING:
    from pathlib import Path

_ZEROS = "0" * 64
PLACEHOLDERS = {"pages": _ZEROS, "footer": _ZEROS}
"""Entries of the footer's metadata that :class:`SealingFile` fills in; their keys follow ``fmbseg.``."""

# A key, two bytes of Thrift between (the field, and 64 as the length), the value.
_ENTRIES = {name: re.compile(rb"fmbseg\.%s\x18\x40([0-9a-f]{64})" % name.encode()) for name in PLACEHOLDERS}
_MAGIC = b"PAR1"
_END = 4 + len(_MAGIC)  # the footer's length and the magic word stand behind it
_BLOCK = 1 << 20


class Footer(NamedTuple):
    """Where the footer of a file starts, and the hash of what is before it."""

    start: int
    pages: str


class SealingFile:
    """A file for ``ParquetWriter`` that fills the hashes into the footer before it is written.

    Args:
        file: to write to.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written = sha256()
        self._position = 0
        self._held: bytearray | None = None
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write, or hold back what may belong to the footer."""
        view = memoryview(data).cast("B")
        self._position += len(view)
        if self._held is not None:
            self._held += view
        else:
            self._pass(view)
        return len(view)

    def tell(self) -> int:
        """Bytes so far."""
        return self._position

    def flush(self) -> None:
        """What is held back stays so."""

    def close(self) -> None:
        """The file itself belongs to whoever opened it."""
        self.closed = True

    def hold_back(self) -> None:
        """Keep in memory what comes from now on."""
        self._held = bytearray()

    def finish(self) -> None:
        """Write what was held back, with the hashes."""
        held = bytes(self._held or b"")
        start = len(held) - _END - int.from_bytes(held[-_END : -len(_MAGIC)], "little")
        self._pass(memoryview(held[:start]))
        footer = _filled(held[start:], "pages", self._written.hexdigest())
        self._file.write(_filled(footer, "footer", sha256(footer).hexdigest()))

    def _pass(self, view: memoryview) -> None:
        self._written.update(view)
        self._file.write(view)


def check_footer(path: Path) -> Footer:
    """Check a file's footer against its own hash.

    Raises:
        DamagedFileError: the hash differs, or is missing.
        OSError: it cannot be read, or is not a regular file.
    """
    check_regular(path)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END))
        end = file.read(_END)
        start = size - _END - int.from_bytes(end[: -len(_MAGIC)], "little")
        if end[-len(_MAGIC) :] != _MAGIC or start < 0:
            raise DamagedFileError("it is not a Parquet file, or a part of one")
        file.seek(start)
        content = file.read()
    seal, pages = (_ENTRIES[name].search(content) for name in ("footer", "pages"))
    if seal is None or pages is None:
        raise DamagedFileError("its footer is not as fmbseg wrote it")
    if sha256(_filled(content, "footer", _ZEROS)).hexdigest().encode() != seal[1]:
        raise DamagedFileError("its footer does not have the checksum that it was written with")
    return Footer(start, pages[1].decode())


def check_pages(path: Path, footer: Footer) -> None:
    """Check everything before the footer.

    Raises:
        DamagedFileError: it was changed since it was written.
        OSError: it cannot be read.
    """
    digest, left = sha256(), footer.start
    with path.open("rb") as file:
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
    if digest.hexdigest() != footer.pages:
        raise DamagedFileError("its content does not have the checksum that it was written with")


def _filled(footer: bytes, name: str, value: str) -> bytes:
    found = _ENTRIES[name].search(footer)
    if found is None:
        raise DamagedFileError(f"its footer has no place for the checksum {name}")
    return footer[: found.start(1)] + value.encode() + footer[found.end(1) :]
