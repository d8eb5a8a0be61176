"""Where label sets lie, a local folder or object storage, and the few things that are done to their files.

Files are written whole or not at all: in a folder by renaming, in object storage by one request that never
replaces an object.
So whoever reads sees a whole file, and of two runs that write the same one the first counts.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from fmbseg import storage
from fmbseg.files import cache_home, check_regular, open_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AT_ONCE = 16
"""Requests to object storage at a time, on threads."""
_URI_AS_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\][^/\\]")


@dataclass(frozen=True)
class Remote:
    """A name in object storage: of an object, or what the names of many begin with.

    Args:
        uri: without a slash at its end.
        size: of an object, in bytes, where it is known.
    """

    uri: str
    size: int | None = None

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.uri}/{name}")

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.uri.rpartition("/")[2]

    def known_size(self) -> int:
        """Bytes of the object, asked for where they are not known."""
        return storage.size_of(self.uri) if self.size is None else self.size


Place: TypeAlias = Path | Remote
"""A folder or a file."""


def place_of(given: str | Path | Remote) -> Place:
    """What a user's text names: a URI such as ``s3://bucket/labels``, or a local path.

    Raises:
        ValueError: a URI that was made a path, which drops one of its slashes.

    Example:
        >>> place_of("s3://bucket/labels/"), place_of("labels").name
        (Remote(uri='s3://bucket/labels', size=None), 'labels')
    """
    if isinstance(given, Remote):
        return given
    if isinstance(given, str) and storage.is_uri(given):
        local = given.removeprefix("file://")
        return Remote(given.rstrip("/")) if local == given else Path(local)
    check_local(given)
    return Path(given)


def check_local(path: str | Path) -> None:
    """Refuse a path that was made of a URI.

    Raises:
        ValueError: it is one.

    Example:
        >>> check_local(Path("s3://bucket/labels"))
        Traceback (most recent call last):
        ValueError: s3:/bucket/labels looks like a URI, but only a local path is taken here: ...
    """
    if found := _URI_AS_PATH.match(str(path)):
        raise ValueError(
            f"{path} looks like a URI, but only a local path is taken here: in Python, give a URI as text, "
            f"not as a Path; name a folder ./{found[1]}: if one is meant"
        )


def files_in(place: Place) -> dict[str, Place]:
    """What lies directly in a folder, by name; nothing where there is no such folder."""
    if isinstance(place, Path):
        return {path.name: path for path in place.iterdir()} if place.is_dir() else {}
    try:
        found = list(storage.listed(place.uri))
    except FileNotFoundError:
        return {}
    return {name: Remote(f"{place.uri}/{name}", size) for name, size in found if "/" not in name}


def at_once(places: Iterable[Place]) -> int:
    """How many files are read at a time: object storage takes many requests."""
    return AT_ONCE if any(isinstance(place, Remote) for place in places) else 1


def is_there(place: Place) -> bool:
    """Whether there is a file of that name."""
    return place.exists() if isinstance(place, Path) else storage.is_file(place.uri)


def read_whole(place: Place) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    if isinstance(place, Path):
        check_regular(place)
        return place.read_bytes()
    return storage.read(place.uri, size=place.known_size())


def read_end(place: Place, count: int) -> bytes:
    """The last bytes of a file, or all of a smaller one; raises as :func:`read_whole` does."""
    if isinstance(place, Path):
        check_regular(place)
        with place.open("rb") as file:
            file.seek(-min(count, file.seek(0, 2)), 2)
            return file.read()
    size = place.known_size()
    count = min(count, size)
    return storage.read(place.uri, size - count, size) if count else b""  # no empty range can be asked for


@contextmanager
def opened(place: Place) -> Iterator[BinaryIO]:
    """Open a file for reading; an object is fetched to memory first. Raises as :func:`read_whole` does."""
    if isinstance(place, Path):
        check_regular(place)
        with place.open("rb") as file:
            yield file
    else:
        yield BytesIO(read_whole(place))


@contextmanager
def written(place: Place, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes its name on leaving; an object is held in memory until then.

    Args:
        place: of the file. In a folder it replaces one that is there.
        replace: replace an object, too.

    Raises:
        FileExistsError: there is an object of that name.
        OSError: it cannot be written.
    """
    if isinstance(place, Path):
        with open_atomically(place) as file:
            yield file
    else:
        content = BytesIO()
        yield content
        storage.put(place.uri, content.getvalue(), new=not replace)


def work_folder(place: Place, *of: str) -> Path:
    """The local folder for the lock and journal of who writes to a place: itself, if it is one.

    Args:
        place: that is written to.
        of: what else tells this work from other work on the same place.
    """
    if isinstance(place, Path):
        return place
    return cache_home() / "labelling" / sha256("\n".join((place.uri, *of)).encode()).hexdigest()[:32]
