"""One way to write a file, to read one, and to check where it may be.

Files are written whole or not at all, and files that are read back carry a checksum
(:mod:`fmbseg.checksums`). Paths that come from elsewhere are joined by :func:`inside` alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import threading
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

_NO_ROOM = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))
_TEMPORARY = re.compile(r"\.(.*)\.[0-9]+-[0-9]+-[0-9a-f]{8}\.tmp(\..*)?")  # as temporary_beside names them
_STEM = 60  # letters of a file's name that its temporary name has, so that it is not too long
_BLOCK = 1 << 20


class DamagedFileError(ValueError):
    """A file was changed since fmbseg wrote it; the message names it and says what to do."""


def cache_home() -> Path:
    """Folder for files that can be fetched or computed again: ``$FMBSEG_HOME``, else ``~/.cache/fmbseg``."""
    return Path(os.environ.get("FMBSEG_HOME") or Path.home() / ".cache" / "fmbseg").expanduser()


class DiskFullError(OSError):
    """The disk or quota is full; the message names the file."""


# Writing


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; on leaving, flush it to disk and rename it to ``path``.

    The temporary name is unique to this call, so that two writers do not collide: the last to finish
    wins, with a whole file. On an error the temporary file is removed and ``path`` is unchanged.

    Raises:
        OSError: it cannot be written; a full disk is reported with the file's name.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, with its suffix, for libraries that write files by name.

    On leaving, the temporary file is flushed to disk and renamed to ``path``; on an error it is
    removed.

    Raises:
        OSError: it cannot be written; a full disk is reported with the file's name.
    """
    temporary = temporary_beside(path)
    with telling_of_a_full_disk(path):
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def temporary_beside(path: Path) -> Path:
    """A unique hidden name beside ``path``, with its suffix."""
    own = f"{os.getpid()}-{threading.get_ident()}-{os.urandom(4).hex()}"
    return path.with_name(f".{path.stem[:_STEM]}.{own}.tmp{path.suffix}")


def remove_leftovers(folder: Path, names: Iterable[str] | None = None) -> None:
    """Remove temporary files that a killed writer left in a folder; for the holder of the folder's lock.

    Args:
        folder: the folder; its subfolders are not searched.
        names: files whose temporary files are removed; by default all.
    """
    wanted = None if names is None else {(Path(name).stem[:_STEM], Path(name).suffix) for name in names}
    for path in folder.glob(".*.tmp*"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and (wanted is None or (found[1], found[2] or "") in wanted):
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def telling_of_a_full_disk(path: Path) -> Iterator[None]:
    """Turn an error about lack of space into one that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM or isinstance(error, DiskFullError):
            raise
        raise DiskFullError(
            error.errno,
            f"no room to write {path} ({os.strerror(error.errno or 0)}): what was written earlier is kept. "
            "Free some space and run the same again; a labelling or training continues where it stopped",
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with open_atomically(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    write_atomically(path, encode(text))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_atomically(path, encode_json(content))


def encode_json(content: Any) -> bytes:
    """The bytes of a JSON file."""
    return encode(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def encode(text: str) -> bytes:
    """Encode as UTF-8; undecodable bytes of file names (lone surrogates) become JSON escapes."""
    return text.encode("utf-8", "backslashreplace")


# Reading


def check_regular(path: Path) -> None:
    """Refuse pipes, devices and other things that are not regular files; links are followed.

    Raises:
        OSError: it is missing, or is not a regular file; the message says what it is.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        kinds = {
            stat.S_IFIFO: "a pipe",
            stat.S_IFSOCK: "a socket",
            stat.S_IFCHR: "a device",
            stat.S_IFBLK: "a device",
        }
        raise OSError(
            errno.EINVAL,
            f"is {kinds.get(stat.S_IFMT(mode), 'something else')}, not a regular file",
            str(path),
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file as 64 hexadecimal digits; it is read in blocks.

    Raises:
        OSError: it cannot be read, or is not a regular file.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     empty = pathlib.Path(folder, "empty")
        ...     _ = empty.write_bytes(b"")
        ...     sha256_of(empty)[:16]
        'e3b0c44298fc1c14'
    """
    check_regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def parse_json(content: bytes | str, name: str | Path, *, not_finite: bool = False) -> Any:
    """Parse JSON from an untrusted source.

    Args:
        content: the text, or its bytes in UTF-8.
        name: of the file, for the message.
        not_finite: whether to accept ``NaN`` and ``Infinity``, which are not JSON but which tools write;
            for readers that check each number themselves.

    Raises:
        DamagedFileError: it is not JSON, not UTF-8, nested too deeply, or holds ``NaN`` or ``Infinity``
            where they are not accepted.

    Example:
        >>> parse_json('{"a": [1, 2]}', "a.json")
        {'a': [1, 2]}
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return json.loads(text, parse_constant=None if not_finite else _no_number)
    except RecursionError as error:
        raise DamagedFileError(f"{name} cannot be read as JSON: it is nested too deeply") from error
    except ValueError as error:
        raise DamagedFileError(f"{name} cannot be read as JSON ({error})") from error


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def read_json(path: Path) -> Any:
    """Read a JSON file from an untrusted source.

    Raises:
        DamagedFileError: see :func:`parse_json`.
        OSError: it cannot be read, or is not a regular file.
    """
    check_regular(path)
    return parse_json(path.read_bytes(), path)


# Places


def inside(root: Path, name: str | Path, *, links_may_leave: bool = True) -> Path:
    """Join an untrusted path to a folder that it may not leave.

    Args:
        root: the folder.
        name: a relative path with forward slashes.
        links_may_leave: whether links below ``root`` may lead out of it; never allow this when writing.

    Raises:
        ValueError: a path that is absolute, climbs by ``..``, holds a NUL or is empty, or a link
            that leads out; the message names it.

    Example:
        >>> inside(Path("photos"), "a/b.jpg").as_posix()
        'photos/a/b.jpg'
        >>> inside(Path("photos"), "../b.jpg")
        Traceback (most recent call last):
        ValueError: '../b.jpg' leads out of the folder photos: only paths within it are taken
    """
    path = root / check_inside(root, name)
    if not links_may_leave and not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(root)):
        raise ValueError(
            f"{str(name)!r} leads out of the folder {root} by a link: only places within it are written to"
        )
    return path


def check_inside(root: Path | str, name: str | Path) -> PurePosixPath:
    """Make sure that an untrusted path leads out of no folder that it may be joined to.

    Args:
        root: the folder or the URI that it is to start from, for the message.
        name: a relative path with forward slashes.

    Raises:
        ValueError: as :func:`inside` does, but for links.
    """
    text = name.as_posix() if isinstance(name, Path) else name
    if not isinstance(text, str) or (not text.strip("/.")) or "\0" in text:
        raise ValueError(f"{text!r} is not a path of a file within the folder {root}")
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    # On every system, for label sets travel; but a single letter before a colon is a drive on Windows alone.
    absolute = (
        posix.is_absolute()
        or windows.is_absolute()
        or bool(windows.root)
        or (os.name == "nt" and windows.drive)
    )
    if absolute or ".." in posix.parts or ".." in windows.parts:
        raise ValueError(f"{text!r} leads out of the folder {root}: only paths within it are taken")
    return posix
