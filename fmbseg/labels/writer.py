"""Writing a label set so that a kill at any moment loses at most the current photograph."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from fmbseg.checksums import RowJournal, iterate_rows
from fmbseg.files import DamagedFileError, inside, remove_leftovers, write_json
from fmbseg.labels.checks import ERRORS, check_failures, check_shards, read_failures, write_failures
from fmbseg.labels.manifest import (
    MANIFEST,
    check_manifest,
    manifest_hash,
    read_manifest,
    shard_count,
    shard_length,
    short,
)
from fmbseg.labels.shards import shard_name, to_row, write_shard
from fmbseg.part import Part
from fmbseg.written import WouldReplaceError, hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from fmbseg.labels.record import LabeledImage

JOURNAL = "journal.jsonl"
LOCK = ".fmbseg-labels.lock"
_NAMED = 4


class LabelWriter:
    """Appends records in order, and knows where an interrupted run stopped.

    The current shard is a journal: one line per photograph, flushed when written. A full journal becomes a
    shard (written to a temporary name, then renamed) and a new one begins. So a kill costs at most the
    current photograph, and since records are written in order, a resumed run ends with the same bytes. Memory
    holds the current record, not the journal.

    Use it as a context manager; it holds the folder's lock.

    Args:
        folder: to write to; created if it does not exist.
        manifest: of the whole label set, without ``hash``.
        part: the shards that this writer makes. The manifest and every shard's bytes do not depend on it.

    Raises:
        ValueError: the folder holds labels of another configuration, or a shard that another part has begun;
            or the manifest lacks something.
        WouldReplaceError: the folder holds files of no label set under names of one, or another run is
            writing to it.
        DamagedFileError: what an earlier run wrote there is damaged, or not of this label set.
        OSError: the folder cannot be written to. A full disk loses nothing that was written before.
    """

    def __init__(self, folder: str | Path, manifest: dict[str, Any], part: Part | None = None) -> None:
        self.folder = Path(folder)
        self._part = part or Part()
        plain = json.loads(json.dumps(manifest))  # as it will be read back: tuples become lists
        check_manifest(plain)
        self.manifest = {**plain, "hash": manifest_hash(plain)}
        self._lock = FileLock(self.folder / LOCK)
        self._journal: RowJournal | None = None
        self._pending = 0  # photographs in the journal

    def __enter__(self) -> LabelWriter:
        hold(self._lock)
        try:
            remove_leftovers(self.folder)
            claim(self.folder, self.manifest)
            self._check()
            self._resume()
        except BaseException:
            self._close_journal()
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_journal()
        self._lock.release()

    @property
    def done(self) -> bool:
        """Whether every photograph of this part is in a shard."""
        return self._finished == shard_count(self.manifest)

    @property
    def count(self) -> int:
        """Photographs of this part."""
        return sum(shard_length(self.manifest, index) for index in self._own)

    @property
    def position(self) -> int:
        """Which photograph is next, from 0; it need not follow the last one where a later shard exists."""
        return self._finished * self._shard_size + self._pending

    def positions(self) -> list[int]:
        """The photographs still to do, ascending; they must be appended in this order.

        Positions of existing shards are skipped, so that a deleted shard is made again.
        """
        starts = ((index * self._shard_size, shard_length(self.manifest, index)) for index in self._absent())
        todo = [position for start, length in starts for position in range(start, start + length)]
        return todo[self._pending :]

    def append(self, image: LabeledImage) -> None:
        """Add the labels of the photograph at :attr:`position`.

        Raises:
            ValueError: its path leads out of the photographs' folder.
        """
        inside(Path(self.manifest["root"]), image.path)
        self._write(to_row(image))

    def append_error(self, path: str, error: str) -> None:
        """Note that the photograph at :attr:`position` could not be labelled, and why."""
        self._write({"path": path, "error": error})

    @property
    def _own(self) -> Sequence[int]:
        """Places of the shards of this part."""
        return self._part.take(range(shard_count(self.manifest)))

    def _absent(self) -> Iterator[int]:
        return (index for index in self._own if not self._shard(index).exists())

    @property
    def _shard_size(self) -> int:
        return int(self.manifest["shard_size"])

    def _shard(self, index: int) -> Path:
        return self.folder / shard_name(index)

    def _check(self) -> None:
        """Make sure that the existing shards belong to this label set, and lack no photograph."""
        shards = {
            index: self._shard(index)
            for index in range(shard_count(self.manifest))
            if self._shard(index).exists()
        }
        facts = check_shards(shards, self.manifest)
        check_failures(self.folder, list(shards), facts, self.manifest)

    def _resume(self) -> None:
        """Find the first missing shard, and its photographs in the journal."""
        count = shard_count(self.manifest)
        self._finished = next(self._absent(), count)
        self._pending = end = chain = 0
        journal = self.folder / JOURNAL
        if all(self._shard(index).exists() for index in range(count)):
            journal.unlink(missing_ok=True)
            return
        # A journal of a shard that is there is a leftover of a kill between renaming and deleting.
        own = self._own
        for row, row_end, row_chain in self._journal_rows():
            if row["shard"] == self._finished:
                self._pending, end, chain = self._pending + 1, row_end, row_chain
            elif row["shard"] not in own and not self._shard(row["shard"]).exists():
                raise ValueError(
                    f"{self.folder} holds the begun shard {row['shard']}, which is not of part {self._part}: "
                    "finish the part that began it, or give each part a folder of its own"
                )
        if self.done:
            journal.unlink(missing_ok=True)
            return
        self._journal = RowJournal(journal, end, chain)  # a line cut short by a kill goes
        self._close_full_shard()

    def _write(self, row: dict[str, Any]) -> None:
        if self._journal is None:
            raise ValueError(f"all {self.count} photographs are already in {self.folder}")
        self._journal.append({"manifest": self.manifest["hash"], "shard": self._finished, "row": row})
        self._pending += 1
        self._close_full_shard()

    def _journaled(self) -> Iterator[dict[str, Any]]:
        return (row["row"] for row, _, _ in self._journal_rows())

    def _journal_rows(self) -> Iterator[tuple[dict[str, Any], int, int]]:
        path = self.folder / JOURNAL
        try:
            for found in iterate_rows(path):
                if found[0].get("manifest") != self.manifest["hash"]:
                    raise DamagedFileError(f"{path} belongs to another label set")
                yield found
        except DamagedFileError as error:
            raise DamagedFileError(
                f"{error}. Delete it and run the same labelling again: the photographs since the last shard "
                "are labelled anew"
            ) from error

    def _close_full_shard(self) -> None:
        if self._pending < shard_length(self.manifest, self._finished):
            return
        # Errors first: a kill in between writes the same errors again, and loses none.
        known = read_failures(self.folder, self.manifest)
        others = [row for row in known if row["shard"] != self._finished]
        failed = [{"shard": self._finished, **row} for row in self._journaled() if "error" in row]
        if known or failed:
            failures = sorted(others + failed, key=lambda row: int(row["shard"]))
            write_failures(self.folder, self.manifest, failures)
        write_shard(
            self._shard(self._finished),
            (row for row in self._journaled() if "error" not in row),
            manifest=self.manifest["hash"],
            shard=self._finished,
        )
        self._close_journal()
        self._resume()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def claim(folder: Path, manifest: dict[str, Any]) -> None:
    """Make an empty folder that of a label set, or accept one that the same configuration wrote to.

    Args:
        folder: of the labels; the caller holds its lock.
        manifest: of the run, with its hash.

    Raises:
        ValueError: the folder holds labels of another configuration.
        WouldReplaceError: it holds files of no label set under names of one.
    """
    path = folder / MANIFEST
    if not path.exists():
        for name in (JOURNAL, ERRORS, *map(shard_name, range(shard_count(manifest)))):
            if os.path.lexists(folder / name):
                raise WouldReplaceError(
                    f"{folder / name} is there, but there is no {MANIFEST} that says what it "
                    "belongs to: move it away, or use another folder"
                )
        write_json(path, manifest)
        return
    found = read_manifest(folder)
    check_same_run(folder, found, manifest)
    if found["root"] != manifest["root"]:  # the same photographs, in a folder that was moved
        write_json(path, manifest)


def check_same_run(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to continue labels of another configuration.

    Args:
        folder: of the labels.
        found: the existing manifest, or a part of it.
        wanted: manifest of the run, or the same part of it.

    Raises:
        ValueError: they differ in more than where the photographs lie; the message says in what.
    """
    left, right = _flat(found), _flat(wanted)
    keys = [key for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)]
    if keys:
        shown = [f"{key} is {short(left.get(key))}, now {short(right.get(key))}" for key in keys[:_NAMED]]
        raise ValueError(
            f"{folder} holds labels of another configuration: {'; '.join(shown)}. "
            "Use another folder, or the settings in its manifest.json"
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key not in ("hash", "root"):
            flat[f"{prefix}{key}"] = value
    return flat
