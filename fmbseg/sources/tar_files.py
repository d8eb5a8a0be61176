"""Photographs within tar files (WebDataset): where each lies, found without unpacking."""

from __future__ import annotations

import tarfile
from array import array
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fmbseg.image_files import is_image
from fmbseg.signatures import ImageError
from fmbseg.sources.key_list import KeyList
from fmbseg.sources.reading import open_file, read_range, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = 512  # zero bytes behind the last member, at the least
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def is_tar(name: str) -> bool:
    """Whether a name is that of a tar file.

    Raises:
        ImageError: it is compressed, so that nothing in it can be found without reading all before it.
    """
    lower = name.lower()
    if lower.endswith(_COMPRESSED):
        raise ImageError(
            f"{name} is compressed, so that its photographs cannot be read one by one: save it as .tar"
        )
    return lower.endswith(".tar")


@dataclass(frozen=True)
class TarIndex:
    """The photographs of a tar file, in its order.

    Attributes:
        names: of the members.
        offsets: first byte of each in the file.
        sizes: bytes of each.
        told: why it may lack some, if it does.
    """

    names: KeyList
    offsets: array[int]
    sizes: array[int]
    told: tuple[str, ...]


def tar_index(name: str) -> TarIndex:
    """Go through the headers of a tar file; its photographs are not read.

    Files with an image's extension count, hidden ones and links do not. Of a file that is cut short or
    damaged, the whole photographs before that place count, and ``told`` says so.

    Args:
        name: a path or a URI.

    Raises:
        ImageError: it is no tar file, or holds two photographs of one name.
        OSError: it cannot be read.
    """
    offsets, sizes = array("q"), array("q")
    reason: list[str] = []

    def names() -> Iterator[str]:
        for member in _members(name, reason):
            path = PurePosixPath(member.name)
            if member.isreg() and is_image(path) and not path.name.startswith("."):
                offsets.append(member.offset_data)
                sizes.append(member.size)
                yield path.as_posix()

    found = KeyList.of(names())
    if (twice := found.first_repeated()) is not None:
        first, second = [place for place, one in enumerate(found, start=1) if one == twice][:2]
        raise ImageError(
            f"{name} holds {twice} twice, as its photographs {first} and {second}: rename one, or make the "
            "tar anew"
        )
    told = tuple(f"{name} {why}: its {len(found)} whole photographs count; get it again" for why in reason)
    return TarIndex(found, offsets, sizes, told)


def _members(name: str, reason: list[str]) -> Iterator[tarfile.TarInfo]:
    """The members that are whole; why there may be more goes to ``reason``."""
    size = size_of(name)
    try:
        with open_file(name) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            try:
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # else all are kept
                    if member.offset_data + member.size > size:
                        break
                    yield member
            except tarfile.TarError:  # after the first member: one that cannot be read
                reason.append("is cut short or damaged")
                return
            # A whole file ends with zeros. A header that is no header ends it as well, without an error.
            if member is not None or size < tar.offset + _END or any(read_range(name, tar.offset, _END)):
                reason.append("is cut short or damaged")
    except tarfile.TarError as error:
        raise ImageError(f"{name} is not a tar file ({error}); get it again or leave it out") from error
