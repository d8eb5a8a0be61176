"""Photographs by root and key, whatever holds them: an object, a file, a tar file or a table."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from fmbseg.files import check_inside
from fmbseg.signatures import ImageError, MissingImageError
from fmbseg.sources.contract import StoredImage, joined
from fmbseg.sources.listing import Listing, list_photographs
from fmbseg.sources.reading import read_range, read_whole
from fmbseg.sources.tables import open_table
from fmbseg.sources.tar_files import tar_index
from fmbseg.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Made = TypeVar("_Made")

_IN_TAR = re.compile(r"(?P<holder>.*?\.tar)/(?P<rest>.+)", re.IGNORECASE)
_IN_TABLE = re.compile(r"(?P<holder>.*\.(parquet|arrow)(#[^/]*)?)/(?P<rest>\d{8,})", re.IGNORECASE)
_OPEN = 16  # tar files and tables whose contents a process remembers


def is_held(key: str) -> bool:
    """Whether a key is that of a photograph within a tar file or a table.

    Example:
        >>> is_held("000.tar/a.jpg"), is_held("train.parquet#image/00000012"), is_held("a/b.jpg")
        (True, True, False)
    """
    return bool(_IN_TAR.fullmatch(key) or _IN_TABLE.fullmatch(key))


class StoredPhotographs:
    """A :class:`~fmbseg.sources.contract.Source` of any place; it is pickled without the list.

    Args:
        root: what the keys start from.
        places: what was listed, to be listed again on another machine.
        listing: of them, if it is made.
    """

    def __init__(self, root: str, places: Sequence[str] = (), listing: Listing | None = None) -> None:
        self._root, self._places, self._listing = root, tuple(places), listing

    @property
    def root(self) -> str:
        """A folder's whole path, or a URI."""
        return self._root

    def keys(self) -> Sequence[str]:
        """The photographs' keys; see :func:`~fmbseg.sources.listing.list_photographs` for their order."""
        return self._listed().keys

    def sizes(self) -> Sequence[int]:
        """Bytes of each; of its table, or -1, where only reading would tell."""
        return self._listed().sizes

    def told(self) -> str:
        """What the user should know of the listing."""
        return "" if self._listing is None else "; ".join(self._listing.told)

    def read(self, key: str) -> bytes:
        """The bytes of a photograph; see :meth:`~fmbseg.sources.contract.Source.read`."""
        name = joined(self._root, key)
        try:
            check_inside(self._root, key)
            return self._read(key)
        except StorageError:
            raise
        except FileNotFoundError as error:
            raise MissingImageError(f"{name} does not exist; check its spelling") from error
        except OSError as error:
            why = error.strerror or str(error)
            raise ImageError(f"{name} cannot be read ({why}); get it again or leave it out") from error

    def _read(self, key: str) -> bytes:
        if found := _IN_TABLE.fullmatch(key):
            return _tables.of(joined(self._root, found["holder"])).read(int(found["rest"]))
        if found := _IN_TAR.fullmatch(key):
            holder = joined(self._root, found["holder"])
            place = _tars.of(holder).get(found["rest"])
            if place is None:
                raise MissingImageError(
                    f"{holder} holds no {found['rest']}; it was changed since it was listed"
                )
            return read_range(holder, *place)
        return read_whole(joined(self._root, key))

    def _listed(self) -> Listing:
        if self._listing is None:
            self._listing = list_photographs(self._places)
        return self._listing

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_listing": None}


def stored_image(uri: str) -> StoredImage:
    """A photograph by its URI.

    Example:
        >>> str(stored_image("s3://bucket/photos/a.jpg"))
        's3://bucket/photos/a.jpg'
    """
    scheme, _, key = uri.partition("://")
    return StoredImage(StoredPhotographs(f"{scheme}://"), key)


class _Recent(Generic[_Made]):
    """What was opened last, made once for all threads."""

    def __init__(self, make: Callable[[str], _Made]) -> None:
        self._make, self._lock = make, Lock()
        self._made: dict[str, _Made] = {}
        self._locks: dict[str, Lock] = {}

    def of(self, name: str) -> _Made:
        with self._lock:
            own = self._locks.setdefault(name, Lock())
        with own:
            if name not in self._made:
                made = self._make(name)
                with self._lock:
                    self._made[name] = made
                    for old in list(self._made)[:-_OPEN]:
                        del self._made[old], self._locks[old]
            return self._made[name]


def _places_in(name: str) -> dict[str, tuple[int, int]]:
    index = tar_index(name)
    places = zip(index.offsets, index.sizes, strict=True)
    return dict(zip(index.names, places, strict=True))


_tars = _Recent(_places_in)
_tables = _Recent(open_table)
