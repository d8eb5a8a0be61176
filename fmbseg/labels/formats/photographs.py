"""Finding the photograph that another tool's file names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fmbseg.images import find_images

if TYPE_CHECKING:
    from pathlib import Path

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the names of uploaded files


class PhotographFinder:
    """Looks up photographs of a folder by names that annotation tools have changed.

    A name is tried as it is; then without what tools put before it: the address of Label Studio's local
    storage, folders such as ``images/``, and the eight digits before an uploaded file's name.

    Args:
        folder: of the photographs, with its folders within.

    Raises:
        ImageError: no photograph in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = {path.relative_to(folder).as_posix() for path in find_images(folder)}
        self._by_end: dict[str, list[str]] = {}
        for path in sorted(self.paths):
            self._by_end.setdefault(PurePosixPath(path).name, []).append(path)

    def find(self, name: str) -> str:
        """The path of a photograph from the folder, with forward slashes.

        Args:
            name: as the other tool wrote it.

        Raises:
            ValueError: there is none, or it may be one of several.
        """
        given = name.replace("\\", "/")
        plain = unquote(given.rpartition("?d=")[2]) if "?d=" in given else given
        for exact in (given, plain):
            if exact in self.paths:
                return exact
        last = PurePosixPath(plain).name
        for end in (last, _UPLOAD_PREFIX.sub("", last)):
            found = self._longest(plain, self._by_end.get(end, []))
            if len(found) == 1:
                return found[0]
            if found:
                raise ValueError(
                    f"{name!r} may be {found[0]} or {found[1]} in {self.folder}: "
                    "write the whole path in the file, or give the folder that they lie in"
                )
        raise ValueError(f"{name!r} is not in {self.folder}: give the folder that the photographs lie in")

    def _longest(self, name: str, candidates: list[str]) -> list[str]:
        """The candidates that share most of their folders with the name, counted from the end."""
        shared = {path: _common_end(path, name) for path in candidates}
        return [path for path in candidates if shared[path] == max(shared.values())]


def _common_end(one: str, other: str) -> int:
    count = 0
    for left, right in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if left != right:
            break
        count += 1
    return count
