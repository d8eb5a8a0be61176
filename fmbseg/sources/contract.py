"""What is asked of a place that photographs come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence


@runtime_checkable
class Source(Protocol):
    """Photographs, each under a key; it can be pickled, and opened on another machine that reaches the place.

    A key is a path with forward slashes, as a label set records it; the photographs' root and a key are all
    that it takes to read one again.
    """

    @property
    def root(self) -> str:
        """What the keys start from: a folder's whole path, or a URI."""
        ...

    def keys(self) -> Sequence[str]:
        """The keys, always in the same order; no photograph is read. Millions are held compactly."""
        ...

    def sizes(self) -> Sequence[int]:
        """Bytes of each photograph, in the keys' order; of its table, or -1, where only reading tells."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes of a photograph's file; may be called on several threads.

        Raises:
            ImageError: this one cannot be had: it is missing, too large, or its key leads elsewhere.
            StorageError: the place cannot be read at all.
        """
        ...

    def told(self) -> str:
        """What the user should know, in a line: files passed over, a tar cut short; empty if nothing."""
        ...


@dataclass(frozen=True)
class StoredImage:
    """A photograph of a source, read when it is needed.

    Args:
        source: that has it.
        key: of the photograph in the source.
    """

    source: Source
    key: str

    def read(self) -> bytes:
        """The bytes of its file; raises as :meth:`Source.read` does."""
        return self.source.read(self.key)

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rpartition("/")[2]

    def __str__(self) -> str:
        return joined(self.source.root, self.key)


def stored_images(source: Source) -> list[StoredImage]:
    """All photographs of a source, in the order of its keys."""
    return [StoredImage(source, key) for key in iter(source.keys())]


def joined(root: str, key: str) -> str:
    """The whole name of a key.

    Example:
        >>> joined("s3://bucket/photos", "a.jpg"), joined("s3://", "bucket/a.jpg"), joined("/data", "a.jpg")
        ('s3://bucket/photos/a.jpg', 's3://bucket/a.jpg', '/data/a.jpg')
    """
    return f"{root}{key}" if root.endswith("/") else f"{root}/{key}"
