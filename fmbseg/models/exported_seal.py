"""The checksum in an exported ONNX file's metadata, which covers all of its other bytes.

ONNX Runtime does not notice a flipped bit in a weight when it reads a graph. So the file's metadata
holds a text of known form, first with zeros for the digest, which are replaced once the file is whole.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from typing import TYPE_CHECKING

from fmbseg.files import DamagedFileError, check_regular

if TYPE_CHECKING:
    from pathlib import Path

_SEAL = re.compile(rb"fmbseg-sha256(-with-data)?:([0-9a-f]{64})")
_BLOCK = 1 << 20
_ZEROS = b"0" * 64


def placeholder(*, with_data: bool) -> str:
    """What a file's metadata must hold for :func:`seal_file`.

    Args:
        with_data: whether weights lie in a file beside it (see :func:`data_file`), which is then covered too.
    """
    return f"fmbseg-sha256{'-with-data' if with_data else ''}:{_ZEROS.decode()}"


def data_file(path: Path) -> Path:
    """The file for weights that are too large for the ONNX file itself."""
    return path.with_name(f"{path.name}.data")


def seal_file(path: Path) -> None:
    """Put the checksum into a file that holds a :func:`placeholder`.

    Raises:
        DamagedFileError: it holds no placeholder, or several.
    """
    start, with_data, _ = _find(path)
    digest = _digest(path, start, with_data=with_data)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Make sure that a file is as :func:`seal_file` left it.

    Raises:
        DamagedFileError: it carries no checksum, or that of other content.
        OSError: it cannot be read, or is not a regular file.
    """
    start, with_data, written = _find(path)
    if with_data and not data_file(path).is_file():
        raise DamagedFileError(f"{path} has its weights in {data_file(path).name}, which is not beside it")
    if _digest(path, start, with_data=with_data) != written:
        files = f"{path} or {data_file(path).name}" if with_data else str(path)
        raise DamagedFileError(f"{files} is damaged: it does not have the checksum that it was written with")


def _find(path: Path) -> tuple[int, bool, bytes]:
    """Where the digest starts, whether it covers the file of weights, and the digest itself."""
    check_regular(path)
    found: list[tuple[int, bool, bytes]] = []
    if path.stat().st_size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = [(one.start(2), one[1] is not None, one[2]) for one in _SEAL.finditer(content)]
    if len(found) != 1:
        raise DamagedFileError(
            f"{path} is damaged, or was not written by `fmbseg export`: it does not carry its checksum"
        )
    return found[0]


def _digest(path: Path, start: int, *, with_data: bool) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = start
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        digest.update(_ZEROS)
        file.seek(start + len(_ZEROS))
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    if with_data:
        with data_file(path).open("rb") as file:
            for block in iter(lambda: file.read(_BLOCK), b""):
                digest.update(block)
    return digest.hexdigest().encode()
