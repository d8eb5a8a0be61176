"""One door to photographs: whatever names them becomes a source."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from fmbseg.image_files import is_image
from fmbseg.signatures import ImageError
from fmbseg.sources.contract import Source
from fmbseg.sources.listing import list_photographs
from fmbseg.sources.local import LocalFiles
from fmbseg.sources.stored import StoredPhotographs
from fmbseg.sources.tables import is_table
from fmbseg.sources.tar_files import is_tar
from fmbseg.storage import is_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

Photographs: TypeAlias = "str | Path | Sequence[str | Path] | Source"
"""What :func:`open_source` takes."""


def open_source(photographs: Photographs) -> Source:
    """Open photographs, wherever they are; they are listed, not read.

    Args:
        photographs: a source; or one or more of these, by path or URI (``s3://``, ``gs://``, ``hf://``, or
            what else fsspec knows):

            - a folder, or an image;
            - a list of images: a text file with one a line, or ``list.parquet#url`` for a column of one;
            - WebDataset tar files, such as ``s3://bucket/{000..099}.tar``; a key is ``000.tar/name.jpg``;
            - Parquet files with images (``{"bytes", "path"}`` or binary), ``photos.parquet#image`` where more
              than one column has some; a key is ``photos.parquet/00000012``, with the row's number;
            - a folder of such tar or Parquet files, or one that ``datasets`` saved.

    Raises:
        ImageError: nothing is there, or a key comes twice.
        MissingPackageError: the package of a scheme is not installed.
        StorageError: a place cannot be listed: credentials, permission or a failure that lasts.
        ValueError: paths and URIs, or several schemes, are mixed.

    Example:
        >>> from fmbseg import storage
        >>> storage.put("memory://trip/a.jpg", b"...")
        >>> source = open_source("memory://trip")
        >>> source.root, list(source.keys()), source.read("a.jpg")
        ('memory://trip', ['a.jpg'], b'...')
    """
    if isinstance(photographs, Source):
        return photographs
    given = [photographs] if isinstance(photographs, str | Path) else list(photographs)
    remote = [is_uri(one) for one in given]
    if any(remote) and not all(remote):
        raise ValueError(
            f"{given[remote.index(False)]} is a path and {given[remote.index(True)]} a URI: work on one "
            "after the other"
        )
    if not any(remote):
        if not any(map(_is_holder, given)):
            return _local(given)
        if not all(map(_is_holder, given)):
            raise ValueError(
                "photographs and files that hold or list photographs are mixed: work on one after the other"
            )
    return _stored([one if is_uri(one) else str(Path(one).absolute()) for one in given])  # type: ignore[misc]


def is_local(place: str | Path) -> bool:
    """Whether a place is a folder or an image on this machine; not a URI, a list, a tar or a table."""
    return not (is_uri(place) or _is_holder(place))


def is_many(place: str | Path) -> bool:
    """Whether a place is not of one image: a folder, a list, a tar file or a table."""
    if is_local(place):
        return Path(place).is_dir()
    return not is_image(PurePosixPath(str(place)))


def open_root(root: str | Path) -> Source:
    """The photographs below the root that a label set records, by their keys.

    Args:
        root: a folder, or a URI; it is not listed.
    """
    return StoredPhotographs(str(root))


def _stored(places: Sequence[str]) -> Source:
    listing = list_photographs(places)
    return StoredPhotographs(listing.root, places, listing)


def _local(given: Sequence[str | Path]) -> Source:
    try:
        return LocalFiles(given)
    except ImageError:
        if len(given) == 1 and any(map(_holds, Path(given[0]).rglob("*"))):
            return _stored([str(Path(given[0]).absolute())])
        raise


def _is_holder(place: str | Path) -> bool:
    """Whether a local path, or pattern, is that of a file that holds or lists photographs."""
    return (str(place).lower().endswith(".txt") or _holds(place)) and not Path(place).is_dir()


def _holds(place: str | Path) -> bool:
    return is_tar(str(place)) or is_table(str(place))
