"""The photograph of a record: its path, and whether it is still the one that was labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fmbseg.files import inside, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

_REMEDY = "put it back, or label again"


class HasPhotograph(Protocol):
    """A record of a photograph, made by this package or another."""

    @property
    def path(self) -> str:
        """Path of the photograph relative to the labels' root, with forward slashes."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the photograph's file, in hexadecimal."""
        ...


class PhotographError(ValueError):
    """A photograph is missing, or is not the one that was labelled; the message names it."""


def checked_photograph(root: Path, record: HasPhotograph) -> Path:
    """Find the photograph of a record and make sure that it is the one that was labelled.

    The file is read and hashed at every call: its size and date do not show what is in it, and reading it
    costs far less than decoding it. It may be reached by a link that leads out of ``root``: its hash says
    that it is what the record is of.

    Args:
        root: folder that the record's path starts from.
        record: with the photograph's path and hash.

    Returns:
        The path of the photograph.

    Raises:
        PhotographError: it is missing, cannot be read, is not a regular file or was changed; or the
            record's path leads out of ``root``.

    Example:
        >>> import tempfile
        >>> from hashlib import sha256
        >>> from pathlib import Path
        >>> from types import SimpleNamespace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.jpg").write_bytes(b"a photograph")
        ...     record = SimpleNamespace(path="a.jpg", sha256=sha256(b"a photograph").hexdigest())
        ...     checked_photograph(Path(folder), record).name
        'a.jpg'
    """
    try:
        path = inside(root, record.path)
    except ValueError as error:
        raise PhotographError(str(error)) from error
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise PhotographError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error
    if digest != record.sha256:
        raise PhotographError(f"{path} was changed since it was labelled: {_REMEDY}")
    return path
