"""Files and folders in object storage, with what the layouts of data sets ask of a path."""

from __future__ import annotations

from bisect import bisect_left
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from fmbseg.image_files import is_image
from fmbseg.sources.stored import stored_image
from fmbseg.storage import is_uri, listed

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Names:
    """What is below a root, listed when it is first asked for; it is pickled without the list."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._names: list[str] | None = None

    def below(self, folder: str) -> list[str]:
        """The names that start with ``folder``, ascending."""
        if self._names is None:
            try:
                self._names = sorted(name for name, _ in listed(self.root))
            except FileNotFoundError:
                self._names = []
        start = bisect_left(self._names, folder)
        return self._names[start : bisect_left(self._names, folder + chr(0x10FFFF), start)]

    def __getstate__(self) -> dict[str, object]:
        return {"root": self.root, "_names": None}


class StoredPath:
    """A place below a URI. Names are listed once; files are read when they are needed.

    Args:
        root: URI of the folder that is listed.

    Example:
        >>> from fmbseg import storage
        >>> storage.put("memory://set/images/a.jpg", b"...")
        >>> image = StoredPath("memory://set") / "images" / "a.jpg"
        >>> image.is_file(), str(image), (StoredPath("memory://set") / "masks").is_dir()
        (True, 'memory://set/images/a.jpg', False)
    """

    def __init__(self, root: str | _Names, name: str = "") -> None:
        self._names = root if isinstance(root, _Names) else _Names(root)
        self._name = name

    def __truediv__(self, name: str | PurePosixPath) -> StoredPath:
        joined = PurePosixPath(self._name, name).as_posix()
        return StoredPath(self._names, "" if joined == "." else joined)

    def __str__(self) -> str:
        return f"{self._names.root}/{self._name}".rstrip("/")

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        return self._names.below(self._name)[:1] == [self._name]

    def is_dir(self) -> bool:
        """Whether there is anything below it."""
        return bool(self._names.below(self._below()))

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return self.is_file() or self.is_dir()

    def read_bytes(self) -> bytes:
        """The object's bytes.

        Raises:
            ImageError: it is missing, or too large.
            StorageError: it cannot be read at all.
        """
        return stored_image(str(self)).read()

    def read_text(self, encoding: str) -> str:
        """The object's text; raises as :meth:`read_bytes` does, or UnicodeDecodeError."""
        return self.read_bytes().decode(encoding)

    def glob(self, pattern: str) -> Iterator[StoredPath]:
        """The files below it whose names match, folder by folder."""
        wanted = pattern.split("/")
        for path in self.files():
            parts = path.relative_to(self).parts
            if len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)):
                yield path

    def files(self) -> list[StoredPath]:
        """All files below it, in the order of their names."""
        return [StoredPath(self._names, name) for name in self._names.below(self._below())]

    def images(self) -> list[StoredPath]:
        """The images below it, but hidden ones."""
        own = [(path, path.relative_to(self)) for path in self.files()]
        return [path for path, name in own if is_image(name) and not any(p[0] == "." for p in name.parts)]

    def relative_to(self, other: StoredPath) -> PurePosixPath:
        """The name from another place on."""
        return PurePosixPath(self._name).relative_to(other._name)

    def _below(self) -> str:
        return f"{self._name}/" if self._name else ""


AnyPath: TypeAlias = "Path | StoredPath"


def local(path: AnyPath) -> Path:
    """A path that must be on this machine.

    Raises:
        ValueError: it is in object storage.
    """
    if isinstance(path, StoredPath):
        raise ValueError(f"{path} is in object storage: copy it to this machine for this work")
    return path


def name_from(folder: AnyPath, path: AnyPath) -> str:
    """The name of a path from a folder above it on, with forward slashes; both are of the same kind."""
    if isinstance(path, StoredPath):
        assert isinstance(folder, StoredPath)
        return path.relative_to(folder).as_posix()
    return path.relative_to(local(folder)).as_posix()


def whole_name(path: AnyPath) -> str:
    """The whole path, links resolved; or the URI."""
    return str(path.resolve() if isinstance(path, Path) else path)


def path_of(place: str | Path) -> AnyPath:
    """A place by its path or URI."""
    return StoredPath(place) if isinstance(place, str) and is_uri(place) else Path(place)
