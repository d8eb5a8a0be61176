"""The files in a folder that fmbseg wrote itself: the only ones that it may replace or remove."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fmbseg.checksums import encode_row
from fmbseg.files import (
    atomic_path,
    inside,
    remove_leftovers,
    sha256_of,
    temporary_beside,
    write_atomically,
)
from fmbseg.marker import (
    MARKER,
    REMEDY,
    WouldReplaceError,
    append_entry,
    check_marker,
    is_photograph,
    is_same,
    read_marker,
)
from fmbseg.sources.contract import StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = [
    "LOCK",
    "MARKER",
    "OwnResults",
    "WouldReplaceError",
    "WrittenFiles",
    "check_folder",
    "check_single",
    "hold",
    "read_marker",
    "single_file",
]

LOCK = ".fmbseg-written.lock"


def hold(lock: FileLock, place: object = None) -> None:
    """Take the lock of a folder, which is made where it does not exist, without waiting for it.

    Args:
        lock: in the folder.
        place: that it stands for, in messages; by default the folder.

    Raises:
        WouldReplaceError: another run is writing to the folder, or it or a folder above it is a file.
    """
    folder = Path(lock.lock_file).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WouldReplaceError(f"{folder} cannot be a folder, for a file is there: name another") from error
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WouldReplaceError(
            f"another run is writing to {place or folder}; wait for it or use another folder"
        ) from error


class WrittenFiles:
    """Writes files into a folder that may hold other files, and keeps a list of its own.

    The list is the folder's marker, a file :data:`MARKER` with one line per file: its name, the SHA-256 of
    its content (or a link's target), and what wrote it. The line is written before the file takes its name,
    so that even after a kill every file of fmbseg is listed, and a file with a listed name but other
    content is not fmbseg's.

    On leaving without an error, files that only an earlier run of the same kind wrote are removed;
    on an error everything stays.

    Args:
        folder: to write to; created if it does not exist.
        kind: what is being written, for messages, for example ``"YOLO export"``.

    Raises:
        WouldReplaceError: another run is writing to the folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with WrittenFiles(folder, "export") as out:
        ...         out.check(["a.txt", "b.txt"])
        ...         out.write("a.txt", b"1")
        ...         out.write("b.txt", b"2")
        ...     with WrittenFiles(folder, "export") as out:
        ...         out.write("a.txt", b"3")
        ...     sorted(path.name for path in Path(folder).glob("*.txt"))
        ['a.txt']
    """

    def __init__(self, folder: str | Path, kind: str) -> None:
        self.folder = Path(folder)
        self.kind = kind
        self._lock = FileLock(self.folder / LOCK)
        self._known: dict[str, list[dict[str, Any]]] = {}
        self._written: dict[str, dict[str, Any]] = {}
        self._checked: set[str] = set()

    def __enter__(self) -> WrittenFiles:
        hold(self._lock)
        try:
            check_marker(self.folder)
        except WouldReplaceError:
            self._lock.release()
            raise
        self._known = read_marker(self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._lock.release()

    def check(self, names: Iterable[str]) -> None:
        """Make sure that every file to be written does not exist yet, or is fmbseg's own.

        Args:
            names: paths relative to the folder, with forward slashes.

        Raises:
            WouldReplaceError: a file or folder is in the way.
            ValueError: a name leads out of the folder.
        """
        for name in names:
            self._place(name)

    @contextmanager
    def path(self, name: str, *, photograph: bool = False) -> Iterator[Path]:
        """Yield a temporary path, with the same suffix, and rename it to ``name`` on leaving.

        Args:
            name: path relative to the folder, with forward slashes.
            photograph: whether it is a photograph, which may be an input again, rather than a result.

        Raises:
            WouldReplaceError: a file or folder is in the way.
            OSError: it cannot be written.
        """
        place = self._place(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(place) as temporary:
            yield temporary
            mark = {"photograph": True} if photograph else {}
            self._note(name, {"sha256": sha256_of(temporary), **mark})

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all; raises as :meth:`path` does."""
        with self.path(name) as temporary:
            temporary.write_bytes(content)

    def copy(self, name: str, photograph: Path | StoredImage) -> None:
        """Copy a photograph; the copy may be an input again. Raises as :meth:`path` does."""
        with self.path(name, photograph=True) as temporary:
            if isinstance(photograph, StoredImage):
                temporary.write_bytes(photograph.read())
            else:
                shutil.copyfile(photograph, temporary)

    def link(self, name: str, photograph: Path | StoredImage) -> None:
        """Link to a photograph, or copy it where links cannot be made; raises as :meth:`path` does."""
        if isinstance(photograph, StoredImage):
            self.copy(name, photograph)
            return
        place = self._place(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.realpath(photograph)
        temporary = temporary_beside(place)
        try:
            temporary.symlink_to(target)
        except OSError:  # a system or a file system without links
            self.copy(name, photograph)
            return
        self._note(name, {"link": target})
        temporary.replace(place)

    def keep(self, name: str) -> bool:
        """Keep a file that an earlier run of the same kind wrote; return False if it was changed."""
        place = inside(self.folder, name, links_may_leave=False)
        for entry in self._known.get(name, []):
            if entry["kind"] == self.kind and os.path.lexists(place) and is_same(place, entry):
                self._written[name] = entry
                return True
        return False

    def discard(self, name: str) -> None:
        """Remove a file that this run wrote or kept."""
        self._remove(name, [self._written.pop(name)])

    def _place(self, name: str) -> Path:
        place = inside(self.folder, name, links_may_leave=False)
        if name in self._checked:
            return place
        for parent in place.relative_to(self.folder).parents:
            if (self.folder / parent).is_file():
                raise WouldReplaceError(
                    f"{self.folder / parent} is a file where a folder is needed: {REMEDY}"
                )
        entries = self._known.get(name, [])
        if os.path.lexists(place) and not any(is_same(place, entry) for entry in entries):
            what = "was changed since fmbseg wrote it" if entries else "exists, and fmbseg did not write it"
            raise WouldReplaceError(f"{place} {what}: {REMEDY}")
        others = {entry["kind"] for entry in entries} - {self.kind}
        if os.path.lexists(place) and others:
            raise WouldReplaceError(f"{place} was written by another command ({sorted(others)[0]}): {REMEDY}")
        self._checked.add(name)
        return place

    def _note(self, name: str, entry: dict[str, Any]) -> None:
        """List a file before it takes its name."""
        full = {"name": name, "kind": self.kind, **entry}
        append_entry(self.folder, full)
        self._written[name] = full

    def _finish(self) -> None:
        """Remove what earlier runs of this kind wrote and this one did not; then list what remains."""
        self._remove_leftovers()
        kept = [
            entry
            for name, entries in self._known.items()
            for entry in entries
            if entry["kind"] != self.kind and name not in self._written
        ]
        for name, entries in self._known.items():
            if name not in self._written and any(entry["kind"] == self.kind for entry in entries):
                self._remove(name, entries)
        if not self._written and not kept:
            (self.folder / MARKER).unlink(missing_ok=True)
            return
        rows = [*kept, *self._written.values()]
        write_atomically(self.folder / MARKER, b"".join(encode_row(row)[0] for row in rows))

    def _remove_leftovers(self) -> None:
        """Remove temporary files that an earlier, killed run left for the files of this run."""
        folders = {self.folder: [MARKER]}
        for name in self._written:
            folders.setdefault((self.folder / name).parent, []).append(Path(name).name)
        for folder, names in folders.items():
            remove_leftovers(folder, names)

    def _remove(self, name: str, entries: list[dict[str, Any]]) -> None:
        try:
            place = inside(self.folder, name, links_may_leave=False)
        except ValueError as error:  # a folder of it is a link now
            warnings.warn(f"{error}: what is there stays", stacklevel=4)
            return
        if not os.path.lexists(place):
            return
        if not any(is_same(place, entry) for entry in entries):
            warnings.warn(
                f"{place} was written by an earlier {self.kind} but changed since: it is kept, though not "
                "part of this one",
                stacklevel=4,
            )
            return
        place.unlink()
        for parent in place.relative_to(self.folder).parents:
            if parent == Path() or any((self.folder / parent).iterdir()):
                break
            (self.folder / parent).rmdir()


@contextmanager
def single_file(path: str | Path, kind: str) -> Iterator[Path]:
    """Yield a temporary path, with the same suffix, for one file that a user named; then rename it to that.

    The file is listed in its folder's marker, so that the same command may replace it.

    Args:
        path: of the file.
        kind: what is being written, for messages.

    Raises:
        WouldReplaceError: fmbseg did not write the existing file, or it was changed since.
        OSError: it cannot be written.
    """
    path = Path(path)
    check_single(path, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        yield temporary
        append_entry(path.parent, {"name": path.name, "kind": kind, "sha256": sha256_of(temporary)})


def check_single(path: str | Path, kind: str) -> None:
    """Raise, before any work, if :func:`single_file` would refuse to write.

    Raises:
        WouldReplaceError: fmbseg did not write the existing file, it was changed since, or it is a folder.
    """
    path = Path(path)
    check_marker(path.parent)
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise WouldReplaceError(f"{path} is a folder: name a file")
    entries = [entry for entry in read_marker(path.parent).get(path.name, []) if entry["kind"] == kind]
    if not any(is_same(path, entry) for entry in entries):
        what = (
            "was changed since fmbseg wrote it"
            if entries
            else "exists, and fmbseg did not write it as this kind of file"
        )
        raise WouldReplaceError(f"{path} {what}: {REMEDY}")


def check_folder(folder: str | Path, kind: str, names: Iterable[str]) -> None:
    """Raise, before any work, if :class:`WrittenFiles` would refuse to write files to a folder.

    Args:
        folder: the folder, which need not exist.
        kind: what is being written, as for :class:`WrittenFiles`.
        names: paths relative to the folder, with forward slashes.

    Raises:
        WouldReplaceError: a file or folder is in the way.
        ValueError: a name leads out of the folder.
    """
    if Path(folder).is_file():
        raise WouldReplaceError(f"{folder} is a file: name a folder")
    check_marker(Path(folder))
    written = WrittenFiles(folder, kind)
    written._known = read_marker(written.folder)
    written.check(names)


class OwnResults:
    """Tells which files are fmbseg's own results, by the markers of the folders above them."""

    def __init__(self) -> None:
        self._markers: dict[Path, dict[str, list[dict[str, Any]]]] = {}

    def __contains__(self, path: Path) -> bool:
        """Whether fmbseg wrote this file, and it is not a copy of, or link to, a photograph.

        A link counts as its target.
        """
        place = Path(os.path.realpath(path))
        return any(
            not is_photograph(entry) and is_same(place, entry)
            for folder in place.parents
            for entry in self._entries(folder, place)
        )

    def copied_below(self, folder: Path, path: Path) -> bool:
        """Whether an export below a folder has put this file there as a photograph's copy, or a link to it.

        Args:
            folder: that is gone through; an export to it, or to one above it, does not count.
            path: of a file in it.
        """
        root, place = Path(os.path.realpath(folder)), Path(os.path.realpath(path.parent), path.name)
        return any(
            is_photograph(entry) and is_same(place, entry)
            for parent in place.parents
            if parent != root and parent.is_relative_to(root)
            for entry in self._entries(parent, place)
        )

    def _entries(self, folder: Path, place: Path) -> list[dict[str, Any]]:
        if folder not in self._markers:
            self._markers[folder] = read_marker(folder)
        return self._markers[folder].get(place.relative_to(folder).as_posix(), [])
