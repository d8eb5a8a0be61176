"""Small photographs in folders, tar files and tables, for tests of sources."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def png(number: int) -> bytes:
    """A picture of 4 x 4 pixels, all of the grey ``number``."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> bytes:
    """Write a tar file; returns its bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path.read_bytes()


def web_dataset(count: int) -> list[tuple[str, bytes]]:
    """Photographs as WebDataset has them, each with a file beside it."""
    return [
        (f"{number:03}.{ending}", content)
        for number in range(count)
        for ending, content in (("png", png(number)), ("json", b"{}"))
    ]
