"""Checksums in the files that fmbseg writes and reads back, so that damage is always found."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from typing import TYPE_CHECKING, Any

from fmbseg.files import (
    DamagedFileError,
    check_regular,
    open_atomically,
    read_json,
    telling_of_a_full_disk,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

_SEAL = b"\nfmbseg-sha256:"
_LINE_END = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\n')
_LINE_END_BYTES = len(b', "crc32": "00000000"}\n')


def seal(content: bytes) -> bytes:
    """Append a checksum to the content of a file; :func:`unseal` removes it.

    Example:
        >>> unseal(seal(b"weights"), "a.pt")
        b'weights'
    """
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def unseal(sealed: bytes, name: str | Path) -> bytes:
    """Check and remove the checksum that :func:`seal` appended.

    Args:
        sealed: the file's content.
        name: of the file, for the message.

    Raises:
        DamagedFileError: the checksum is missing, or does not match the content.
    """
    content, mark, digest = sealed.rpartition(_SEAL)
    if not mark or hashlib.sha256(content).hexdigest().encode() != digest:
        raise DamagedFileError(f"{name} is damaged: it does not have the checksum that it was written with")
    return content


def write_sealed_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object that carries its own checksum as ``sha256``, whole or not at all."""
    write_json(path, sealed(content))


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its own checksum as ``sha256``."""
    plain = json.loads(json.dumps(content))
    return {**plain, "sha256": _digest(plain)}


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Read what :func:`write_sealed_json` wrote, without its checksum.

    Raises:
        DamagedFileError: it is not a JSON object, or was changed since it was written.
        OSError: it cannot be read.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} does not hold a JSON object")
    digest = content.pop("sha256", None)
    if digest != _digest(content):
        raise DamagedFileError(
            f"{path} is damaged or was edited: it does not have the checksum that it was written with"
        )
    return content


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def encode_row(row: Mapping[str, Any], chain: int = 0) -> tuple[bytes, int]:
    r"""One line of a file of JSON objects, with a checksum over itself and every line before it.

    So any line that was changed, lost, repeated or moved is found.

    Args:
        row: with at least one key, and without the key ``crc32``.
        chain: the chain that the previous line's call returned; 0 for the first line of a file.

    Returns:
        The line, and the chain for the next one.

    Example:
        >>> encode_row({"key": "a"})[0]
        b'{"key": "a", "crc32": "5169b140"}\n'
    """
    content = json.dumps(row).encode()[:-1]  # ASCII; without the closing brace
    chain = zlib.crc32(content, chain)
    return content + b', "crc32": "%08x"}\n' % chain, chain


def parse_row(line: bytes, chain: int = 0) -> tuple[dict[str, Any], int]:
    """Read a line of :func:`encode_row`, given the chain of the line before; return the next chain too.

    Raises:
        DamagedFileError: its checksum does not match, or it is not where it was written.
    """
    content, tail = line[:-_LINE_END_BYTES], _LINE_END.fullmatch(line[-_LINE_END_BYTES:])
    chain = zlib.crc32(content, chain)
    if tail is None or int(tail[1], 16) != chain:
        raise DamagedFileError("is damaged: it does not have the checksum that it was written with")
    row: dict[str, Any] = json.loads(content + b"}")
    return row, chain


def iterate_rows(path: Path) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield each object of such a file, the position of the byte after its line, and the chain for the next.

    A last line that a kill cut short is left out. A missing file yields nothing.

    Raises:
        DamagedFileError: a line was changed, or is not where it was written.
        OSError: it cannot be read.
    """
    if not path.exists():
        return
    check_regular(path)
    end = chain = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):  # what follows the last line feed was not finished
                return
            try:
                row, chain = parse_row(line, chain)
            except DamagedFileError as error:
                raise DamagedFileError(f"{path}, line {number}, {error}") from error
            end += len(line)
            yield row, end, chain


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All objects of a file of checksummed lines; none if the file is missing.

    Raises:
        DamagedFileError: see :func:`iterate_rows`.
    """
    return [row for row, _, _ in iterate_rows(path)]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of checksummed lines, whole or not at all."""
    chain = 0
    with open_atomically(path) as file:
        for row in rows:
            line, chain = encode_row(row, chain)
            file.write(line)


class RowJournal:
    """Appends checksummed lines to a file, each flushed to the disk when :meth:`append` returns.

    Args:
        path: of the file; created if it does not exist.
        end: number of bytes to keep; what follows, such as a line that a kill cut short, is removed.
        chain: of the last line kept.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder, RowJournal(Path(folder, "a.jsonl")) as journal:
        ...     journal.append({"key": "a"})
        ...     read_rows(Path(folder, "a.jsonl"))
        [{'key': 'a'}]
    """

    def __init__(self, path: Path, end: int = 0, chain: int = 0) -> None:
        self.path = path
        self._chain = chain
        # Unbuffered, so that after a failure nothing is left to be written later.
        self._file = path.open("ab", buffering=0)
        self._file.truncate(end)

    @classmethod
    def after(cls, path: Path) -> RowJournal:
        """Continue after the last whole line of a file.

        Raises:
            DamagedFileError: see :func:`iterate_rows`.
        """
        end = chain = 0
        for _, end, chain in iterate_rows(path):  # noqa: B007 - the last one's are wanted
            pass
        return cls(path, end, chain)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a line whole or not at all.

        Raises:
            OSError: it cannot be written; a full disk is reported as such.
        """
        content, chain = encode_row(row, self._chain)
        line = memoryview(content)
        before = os.fstat(self._file.fileno()).st_size
        with telling_of_a_full_disk(self.path):
            try:
                while line:  # a disk that fills up may take a part
                    line = line[self._file.write(line) :]
                os.fsync(self._file.fileno())
            except BaseException:
                self._file.truncate(before)
                raise
        self._chain = chain

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> RowJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
