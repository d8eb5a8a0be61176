"""Photographs that are files of this machine, or of a folder that it shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.files import inside
from fmbseg.image_files import find_images, passed_over
from fmbseg.images import read_image_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.image_files import ImageFiles


class LocalFiles:
    """The photographs of a folder, or files by name.

    Args:
        photographs: a folder, or files and folders.

    Raises:
        ImageError: there is none.
    """

    def __init__(self, photographs: ImageFiles) -> None:
        given = [photographs] if isinstance(photographs, str | Path) else list(photographs)
        self._given = [Path(path).absolute() for path in given]
        found = [path.absolute() for path in find_images(photographs if given else [])]
        if len(given) == 1 and self._given[0].is_dir():
            self._root = self._given[0]
        else:
            self._root = Path(os.path.commonpath([path.parent for path in found]))
        self._keys: list[str] | None = sorted(path.relative_to(self._root).as_posix() for path in found)

    @property
    def root(self) -> str:
        """The folder that all photographs lie in."""
        return str(self._root)

    def keys(self) -> Sequence[str]:
        """Their sorted paths from there."""
        if self._keys is None:
            self._keys = list(LocalFiles(self._given).keys())
        return self._keys

    def sizes(self) -> Sequence[int]:
        """Bytes of each file; -1 if that cannot be found out, which reading will report."""
        return [_bytes(self._root / key) for key in self.keys()]

    def read(self, key: str) -> bytes:
        """The bytes of a file; an ImageError if it is none, or cannot be read."""
        return read_image_file(self.path(key), key)

    def path(self, key: str) -> Path:
        """The file itself, of which a reader may need a part; a ValueError if the key leads elsewhere."""
        return inside(self._root, key)

    def told(self) -> str:
        """Which files of the folders were passed over."""
        return str(passed_over(self._given))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_keys": None}


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
