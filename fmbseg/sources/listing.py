"""What there is to label in folders, lists, tar files and tables, by path or URI, as one list of keys."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.image_files import IMAGE_EXTENSIONS, PassedOver, is_companion, is_image
from fmbseg.signatures import ImageError
from fmbseg.sources.contract import joined
from fmbseg.sources.key_list import KeyList
from fmbseg.sources.reading import read_whole
from fmbseg.sources.tables import RowKeys, is_table, open_table
from fmbseg.sources.tar_files import is_tar, tar_index
from fmbseg.storage import is_uri, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_BRACES = re.compile(r"\{([^{}]+)\}")
_NOT_DATA = ("cache-", "indices-")  # beside the tables that `datasets` saves
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Listing:
    """Photographs below one root.

    Attributes:
        root: a folder's whole path, or a URI.
        keys: of the photographs, from there.
        sizes: of each, in bytes; -1 where it is not known.
        told: what the user should know, one sentence each.
    """

    root: str
    keys: Sequence[str]
    sizes: Sequence[int]
    told: tuple[str, ...] = field(default=())


def list_photographs(places: Sequence[str]) -> Listing:
    """List folders by URI, photographs by URI, lists, tar files and tables, in the order given.

    Args:
        places: whole paths or URIs; ``{000..099}``, ``{a,b}``, ``*`` and ``?`` stand for several.

    Raises:
        ImageError: nothing is there, or a key comes twice.
        ValueError: paths and URIs, or two schemes, are mixed.
        OSError: a place cannot be read.
    """
    names = list(dict.fromkeys(name for place in places for name in _expanded(place)))
    parts = [_listed(name) for name in names]
    listing = parts[0] if len(parts) == 1 else _together(parts)
    if not listing.keys:
        raise ImageError(f"no photograph in {', '.join(names[:3])}: give another folder, list or tar file")
    return listing


def _listed(name: str) -> Listing:
    root, _, last = name.rpartition("/")
    if name.lower().endswith(".txt"):
        return _of_list(name, _lines(name))
    if is_tar(name):
        index = tar_index(name)
        keys = KeyList.of(f"{last}/{key}" for key in index.names)
        return Listing(root, keys, index.sizes, index.told)
    if is_table(name):
        table = open_table(name)
        if table.has_text:
            return _of_list(name, table.texts())
        return Listing(root, RowKeys(last, table.rows), _same(table.size, table.rows))
    if is_image(PurePosixPath(name)):
        return Listing(root if not root.endswith(":/") else f"{root}/", [last], [-1])
    return _of_folder(name.rstrip("/"))


def _lines(name: str) -> Iterator[str]:
    try:
        text = read_whole(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImageError(f"{name} is not a list of photographs: it is not UTF-8 text ({error})") from error
    return (line.strip() for line in text.splitlines() if line.strip())


def _of_list(name: str, names: Iterable[str]) -> Listing:
    """The photographs that a list names, sorted; a path that is not whole starts from the list's folder."""
    folder = name.rpartition("/")[0]
    entries = KeyList.of(
        one if is_uri(one) or one.startswith("/") else joined(folder, one) for one in names
    ).distinct()
    if not len(entries):
        raise ImageError(f"{name} names no photograph")
    root = common_root([entries[0], entries[-1]])  # sorted: what these share, all share
    cut = len(joined(root, ""))
    return Listing(root, KeyList.of(entry[cut:] for entry in entries), _same(-1, len(entries)))


def _of_folder(name: str) -> Listing:
    """The images below a folder; if there are none, its tar files or tables."""
    sizes = array("q")
    held: list[str] = []
    left: list[PurePosixPath] = []

    def images() -> Iterator[str]:
        for key, size in _entries(name):
            path = PurePosixPath(key)
            if any(part.startswith(".") for part in path.parts):
                continue
            if is_image(path):
                sizes.append(size)
                yield key
            elif (is_tar(key) or is_table(key)) and not path.name.startswith(_NOT_DATA):
                held.append(key)
            elif not is_companion(path):
                left.append(path)

    keys = KeyList.of(images())
    if len(keys):
        told = str(PassedOver(tuple(left)))
        return Listing(name, keys, sizes, (told,) if told else ())
    if not held:
        raise ImageError(
            f"no image in {name}; images are recognised by the extensions "
            f"{' '.join(sorted(IMAGE_EXTENSIONS))}, tar files by .tar, tables by .parquet and .arrow"
        )
    parts = [_listed(joined(name, key)) for key in sorted(held)]
    return _together(parts, name)


def _entries(name: str) -> Iterator[tuple[str, int]]:
    if is_uri(name):
        yield from listed(name)
        return
    for path in sorted(Path(name).rglob("*")):
        if path.is_file():
            yield path.relative_to(name).as_posix(), path.stat().st_size


def _together(parts: Sequence[Listing], root: str | None = None) -> Listing:
    """Several listings as one, from what their roots have in common."""
    root = common_root([joined(part.root, "x") for part in parts]) if root is None else root
    cut = len(joined(root, ""))

    def keys() -> Iterator[str]:
        for part in parts:
            before = joined(part.root, "")[cut:]
            yield from (f"{before}{key}" for key in part.keys)

    every = KeyList.of(keys())
    if (twice := every.first_repeated()) is not None:
        raise ImageError(f"the photograph {joined(root, twice)} is listed twice: leave one out")
    sizes = array("q")
    for part in parts:
        sizes.extend(part.sizes)
    return Listing(root, every, sizes, tuple(told for part in parts for told in part.told))


def common_root(names: Sequence[str]) -> str:
    """The longest folder that all names lie in.

    Example:
        >>> common_root(["s3://a/b/c.jpg", "s3://a/bd.jpg"]), common_root(["s3://a/x", "s3://b/x"])
        ('s3://a', 's3://')
    """
    folders = [name.split("/")[:-1] for name in names]
    shared = [
        parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    ]
    root = "/".join([*shared, ""])
    if root.endswith("://"):
        return root
    if not root or (is_uri(names[0]) and "://" not in root):
        raise ValueError(f"{names[0]} and {names[-1]} have nothing in common: work on one after the other")
    return root.rstrip("/") or "/"


def _same(size: int, count: int) -> Sequence[int]:
    """One number so often, in the memory of one."""
    return np.broadcast_to(np.int64(size), count)  # type: ignore[return-value]


def _expanded(place: str) -> Iterable[str]:
    """The names that braces and wildcards stand for, in order."""
    found = _BRACES.search(place)
    if found:
        before, after = place[: found.start()], place[found.end() :]
        return [name for one in _choices(found[1]) for name in _expanded(f"{before}{one}{after}")]
    if not _GLOB.search(place.partition("?")[0] if place.startswith("http") else place):
        return [place]
    root = place[: _GLOB.search(place).start()].rpartition("/")[0]  # type: ignore[union-attr]
    names = [joined(root, key) for key, _ in _entries(root)]
    chosen = sorted(name for name in names if _matches(name, place))
    if not chosen:
        raise ImageError(f"{place} stands for no file: {len(names)} in {root} do not match")
    return chosen


def _matches(name: str, pattern: str) -> bool:
    """Whether a name matches part by part, so that ``*`` stands for no ``/``."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _choices(text: str) -> list[str]:
    """What a pair of braces stands for.

    Example:
        >>> _choices("08..11"), _choices("a,b")
        (['08', '09', '10', '11'], ['a', 'b'])
    """
    span = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if not span:
        return text.split(",")
    return [str(number).zfill(len(span[1])) for number in range(int(span[1]), int(span[2]) + 1)]
