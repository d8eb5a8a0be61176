"""Texts kept under keys in one file, each with a checksum: a cache that survives damage and a full disk."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")
_TABLE = "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL, sha256 TEXT NOT NULL)"
_READ = "SELECT value, sha256 FROM kept WHERE key=?"
_WRITE = "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)"
_MAGIC = b"SQLite format 3\0"
_COMPANIONS = ("", "-journal", "-wal", "-shm")  # SQLite's own companion files
_TROUBLES = (sqlite3.Error, MemoryError)  # the second if a damaged length asks for too much memory
# Words in SQLite's messages about trouble with the machine, not with the file.
_CIRCUMSTANCES = ("full", "locked", "readonly", "read-only", "unable to open", "I/O")


class RowStore:
    """Keeps texts, and gives back either exactly what it was given or nothing.

    A row that does not match its checksum is ignored, and a file that is damaged as a whole is renamed
    to ``NAME.damaged``, so that a new one takes its place. There is a warning in both cases, and if the
    store cannot be written, for example because the disk is full; then nothing more is kept.

    Args:
        path: path of the file; its folder must exist.
        what: what is kept, in one word for warnings.

    Raises:
        ValueError: what is at ``path`` is not a database.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        self._refuse_what_is_no_database()
        with self._lock:
            self._careful(lambda _: None)

    def read(self, key: str) -> str | None:
        """The text under a key; nothing if there is none or it is damaged."""

        def find(database: sqlite3.Connection) -> tuple[object, object] | None:
            with closing(database.execute(_READ, (key,))) as rows:
                found: tuple[object, object] | None = rows.fetchone()
                return found

        with self._lock:
            found = self._careful(find)
        if found is None:
            return None
        value, digest = found
        if isinstance(value, str) and digest == _digest(key, value):
            return value
        self._tell(f"{self.path} is damaged in one place: {self._what} of one image are made again")
        return None

    def write(self, key: str, value: str) -> None:
        """Keep a text in place of what was under its key."""

        def put(database: sqlite3.Connection) -> None:
            with database:
                database.execute(_WRITE, (key, value, _digest(key, value)))

        with self._lock:
            self._careful(put)

    def close(self) -> None:
        """Close the file; nothing more is kept."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._inode = -1

    def _careful(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Do something with the database; if it is damaged, try once more with a new one."""
        try:
            return self._attempt(work)
        except _TROUBLES as error:
            if any(word in str(error) for word in _CIRCUMSTANCES):
                self._give_up(error)
                return None
            first = error
        try:
            self._set_aside(first)
            return self._attempt(work)
        except (*_TROUBLES, OSError) as error:
            self._give_up(error)
            return None

    def _attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        database = self._opened()
        return None if database is None else work(database)

    def _opened(self) -> sqlite3.Connection | None:
        if self._database is None and self._inode != -1:
            self._database = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
            with self._database:
                self._database.execute(_TABLE)
            self._inode = self.path.stat().st_ino
        return self._database

    def _give_up(self, error: BaseException) -> None:
        self.close()
        self._tell(
            f"{self._what} are no longer kept in {self.path} ({error}), and the run goes on without; what is "
            "kept there stays. See that there is room and that you may write there, for the next run"
        )

    def _set_aside(self, error: BaseException) -> None:
        """Rename the damaged file, unless another process already did, and go on with a new one."""
        inode, self._inode = self._inode, 0
        if self._database is not None:
            self._database.close()
            self._database = None
        if inode and self.path.exists() and self.path.stat().st_ino != inode:
            return
        names = (f"{self.path.name}.damaged{number}" for number in ("", *range(2, 1000)))
        aside = next(name for name in names if not self.path.with_name(name).exists())
        for suffix in _COMPANIONS:
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                source.replace(self.path.with_name(aside + suffix))
        self._tell(
            f"{self.path} is damaged ({error}) and was renamed to {aside}: {self._what} are made again"
        )

    def _refuse_what_is_no_database(self) -> None:
        if self.path.is_file():
            with self.path.open("rb") as file:
                start = file.read(len(_MAGIC))
        else:
            start = b"" if not os.path.lexists(self.path) else b"?"
        if start not in (b"", _MAGIC):
            raise ValueError(
                f"{self.path} is not a store of {self._what}, or is damaged: move it away, or give another "
                "folder"
            )

    def _tell(self, message: str) -> None:
        warnings.warn(message, stacklevel=4)


def _digest(key: str, value: str) -> str:
    return sha256(f"{key} {value}".encode()).hexdigest()
