"""Checksums over a whole Parquet file, kept in its footer, so that any damaged byte is found.

Parquet has checksums of pages alone: headers and the footer have none. Here the footer, which a reader needs
to know what is in a file, carries a hash of all that is before it, and one of itself.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from fmbseg.files import DamagedFileError
from fmbseg.labels.place import read_end

if TYPE_CHECKING:
    from fmbseg.labels.place import Place

_ZEROS = "0" * 64
PLACEHOLDERS = {"pages": _ZEROS, "footer": _ZEROS}
"""Entries of the footer's metadata that :class:`SealingFile` fills in; their keys follow ``fmbseg.``."""

# A key, two bytes of Thrift between (the field, and 64 as the length), the value.
_ENTRIES = {name: re.compile(rb"fmbseg\.%s\x18\x40([0-9a-f]{64})" % name.encode()) for name in PLACEHOLDERS}
_MAGIC = b"PAR1"
_END = 4 + len(_MAGIC)  # the footer's length and the magic word stand behind it
_BLOCK = 1 << 20
_GUESS = 1 << 16  # bytes that hold most footers


class Footer(NamedTuple):
    """The end of a file, which says what is in it.

    Attributes:
        content: its bytes, to the end of the file.
        pages: hash of what is before it.
    """

    content: bytes
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


def read_footer(place: Place) -> Footer:
    """Read a file's footer, and check it against its own hash.

    Raises:
        DamagedFileError: the hash differs, or is missing.
        OSError: it cannot be read, or is not a regular file.
    """
    content = read_end(place, _GUESS)
    length = _END + int.from_bytes(content[-_END : -len(_MAGIC)], "little")
    if content[-len(_MAGIC) :] == _MAGIC and length > len(content) == _GUESS:
        content = read_end(place, length)
    if content[-len(_MAGIC) :] != _MAGIC or length > len(content):
        raise DamagedFileError("it is not a Parquet file, or a part of one")
    content = content[-length:]
    seal, pages = (_ENTRIES[name].search(content) for name in ("footer", "pages"))
    if seal is None or pages is None:
        raise DamagedFileError("its footer is not as fmbseg wrote it")
    if sha256(_filled(content, "footer", _ZEROS)).hexdigest().encode() != seal[1]:
        raise DamagedFileError("its footer does not have the checksum that it was written with")
    return Footer(content, pages[1].decode())


def check_pages(file: BinaryIO, footer: Footer) -> None:
    """Check everything before the footer.

    Raises:
        DamagedFileError: it was changed since it was written.
        OSError: it cannot be read.
    """
    left = file.seek(0, 2) - len(footer.content)
    file.seek(0)
    digest = sha256()
    while left > 0 and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
    if digest.hexdigest() != footer.pages or file.read() != footer.content:
        raise DamagedFileError("its content does not have the checksum that it was written with")


def _filled(footer: bytes, name: str, value: str) -> bytes:
    found = _ENTRIES[name].search(footer)
    if found is None:
        raise DamagedFileError(f"its footer has no place for the checksum {name}")
    return footer[: found.start(1)] + value.encode() + footer[found.end(1) :]
