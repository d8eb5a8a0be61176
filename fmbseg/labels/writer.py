"""Writing a label set so that a kill at any moment loses at most the current photograph."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import RowJournal, iterate_rows
from fmbseg.files import DamagedFileError
from fmbseg.labels.claimed import JOURNAL, Claimed, to_result_row
from fmbseg.labels.manifest import shard_count, shard_length, shard_positions
from fmbseg.part import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from fmbseg.labels.place import Remote
    from fmbseg.labels.record import LabeledImage


class LabelWriter:
    """Appends records in order, and knows where an interrupted run stopped.

    The current shard is a journal: one line per photograph, flushed when written. A full journal becomes a
    shard (written to a temporary name, then renamed) and a new one begins. So a kill costs at most the
    current photograph, and since records are written in order, a resumed run ends with the same bytes. Memory
    holds the current record, not the journal.

    Use it as a context manager; it holds the folder's lock. Of labels in object storage, the journal lies in
    fmbseg's cache folder on this machine, and whole shards alone are sent.

    Args:
        folder: to write to, or a URI; created if it does not exist.
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

    def __init__(
        self, folder: str | Path | Remote, manifest: dict[str, Any], part: Part | None = None
    ) -> None:
        self._claimed = Claimed(folder, manifest, part)
        self.place, self.manifest = self._claimed.place, self._claimed.manifest
        self._journal_path = self._claimed.work / JOURNAL
        self._part = part or Part()
        self._todo: deque[int] = deque()  # places of this part's missing shards
        self._journal: RowJournal | None = None
        self._pending = 0  # photographs in the journal

    def __enter__(self) -> LabelWriter:
        self._claimed.__enter__()
        try:
            self._todo = deque(self._claimed.absent_of(self._part))
            self._resume()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_journal()
        self._claimed.__exit__(kind, error, trace)

    @property
    def done(self) -> bool:
        """Whether every photograph of this part is in a shard."""
        return not self._todo

    @property
    def count(self) -> int:
        """Photographs of this part."""
        return sum(shard_length(self.manifest, index) for index in self._own)

    @property
    def position(self) -> int:
        """Which photograph is next, from 0; it need not follow the last one where a later shard exists."""
        shard = self._todo[0] if self._todo else shard_count(self.manifest)
        return shard * int(self.manifest["shard_size"]) + self._pending

    def positions(self) -> list[int]:
        """The photographs still to do, ascending; they must be appended in this order.

        Positions of existing shards are skipped, so that a deleted shard is made again.
        """
        todo = [position for index in self._todo for position in shard_positions(self.manifest, index)]
        return todo[self._pending :]

    def append(self, image: LabeledImage) -> None:
        """Add the labels of the photograph at :attr:`position`.

        Raises:
            ValueError: its path leads out of the photographs' folder.
        """
        self._write(image.path, image)

    def append_error(self, path: str, error: str) -> None:
        """Note that the photograph at :attr:`position` could not be labelled, and why."""
        self._write(path, error)

    @property
    def _own(self) -> Sequence[int]:
        """Places of the shards of this part."""
        return self._part.take(range(shard_count(self.manifest)))

    def _resume(self) -> None:
        """Find the photographs of the first missing shard that the journal holds."""
        self._pending = end = chain = 0
        absent, own = set(self._claimed.absent), self._own
        # A journal of a shard that is there is a leftover of a kill between renaming and deleting.
        for row, row_end, row_chain in self._journal_rows() if absent else ():
            if self._todo and row["shard"] == self._todo[0]:
                self._pending, end, chain = self._pending + 1, row_end, row_chain
            elif row["shard"] not in own and row["shard"] in absent:
                raise ValueError(
                    f"{self.place} holds the begun shard {row['shard']}, which is not of part {self._part}: "
                    "finish the part that began it, or give each part a folder of its own"
                )
        self._begin(end, chain)

    def _begin(self, end: int = 0, chain: int = 0) -> None:
        """Begin the next shard, with what is to be kept of the journal: a line cut short by a kill goes."""
        if self.done:
            self._journal_path.unlink(missing_ok=True)
            return
        self._journal = RowJournal(self._journal_path, end, chain)
        self._close_full_shard()

    def _write(self, path: str, result: LabeledImage | str) -> None:
        row = to_result_row(path, result, self.manifest["root"])
        if self._journal is None:
            raise ValueError(f"all {self.count} photographs are already in {self.place}")
        self._journal.append({"manifest": self.manifest["hash"], "shard": self._todo[0], "row": row})
        self._pending += 1
        self._close_full_shard()

    def _journal_rows(self) -> Iterator[tuple[dict[str, Any], int, int]]:
        path = self._journal_path
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
        if self._pending < shard_length(self.manifest, self._todo[0]):
            return
        self._claimed.write(self._todo[0], (row["row"] for row, _, _ in self._journal_rows()))
        self._close_journal()
        self._todo.popleft()
        self._pending = 0
        self._begin()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
