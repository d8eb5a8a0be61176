"""The journals of decisions: one file for each reviewer, in the folder ``review`` of a label set."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from filelock import FileLock

from fmbseg.checksums import RowJournal, iterate_rows
from fmbseg.files import DamagedFileError
from fmbseg.review.decisions import Decision, check_reviewer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDER = "review"
_SUFFIX = ".jsonl"
_TICK = 1e-6


class DecisionJournal:
    """Appends one reviewer's decisions, each on the disk when :meth:`append` returns.

    Any number of threads and processes may append for the same reviewer, such as two tabs of a browser: each
    takes the file's lock for the moment of writing, and goes on from what is there.

    Args:
        folder: of the label set.
        reviewer: see :func:`~fmbseg.review.decisions.check_reviewer`.
        manifest: hash of the label set's manifest.

    Raises:
        ValueError: a name that cannot be a reviewer's.
    """

    def __init__(self, folder: Path, reviewer: str, manifest: str) -> None:
        self.reviewer, self._manifest = check_reviewer(reviewer), manifest
        self.path = folder / FOLDER / f"{self.reviewer}{_SUFFIX}"
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        self._end = self._chain = self._count = 0
        self._last = 0.0

    def append(self, *decisions: Decision) -> list[Decision]:
        """Give decisions their numbers and times, and write them down.

        Args:
            decisions: whose ``id`` and ``time`` are not looked at.

        Returns:
            The decisions as they were written.

        Raises:
            DamagedFileError: the journal was changed since it was written, or is of another label set.
            OSError: it cannot be written; a full disk is reported as such.
        """
        self.path.parent.mkdir(exist_ok=True)
        written = []
        with self._lock:
            self._catch_up()
            journal = RowJournal(self.path, self._end, self._chain)
            with journal:
                for one in decisions:
                    self._count += 1
                    self._last = max(time.time(), self._last + _TICK)
                    full = replace(one, id=f"{self.reviewer}:{self._count}", time=round(self._last, 6))
                    journal.append({"manifest": self._manifest, **full.to_row()})
                    written.append(full)
            self._catch_up()
        return written

    def _catch_up(self) -> None:
        """Read what others wrote; a line that a kill cut short is written over."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == self._end:
            return
        self._end = self._chain = self._count = 0
        for row, end, chain in iterate_rows(self.path):
            self._end, self._chain, self._count = end, chain, self._count + 1
            self._last = max(self._last, _decision(row, self.path, self._count, self._manifest).time)


def read_decisions(folder: Path, manifest: str) -> list[Decision]:
    """All reviewers' decisions, in the order in which they were made.

    Times are those of the machines that the reviewers sat at; where two are equal, the names decide.

    Args:
        folder: of the label set.
        manifest: hash of its manifest.

    Raises:
        DamagedFileError: a journal was changed since it was written, or is of another label set.
    """
    found: list[Decision] = []
    for path in sorted((folder / FOLDER).glob(f"*{_SUFFIX}")):
        if path.name.startswith("."):
            continue
        rows: Iterable[tuple[dict[str, object], int, int]] = iterate_rows(path)
        found += [_decision(row, path, number, manifest) for number, (row, _, _) in enumerate(rows, start=1)]
    return sorted(found, key=lambda one: (one.time, one.reviewer, one.number))


def _decision(row: dict[str, object], path: Path, number: int, manifest: str) -> Decision:
    if row.get("manifest") != manifest:
        raise DamagedFileError(
            f"{path} holds corrections of another label set: labels were made anew in this folder since. "
            "Move the file away, or back to the labels that it corrects"
        )
    try:
        decision = Decision.from_row({key: value for key, value in row.items() if key != "manifest"})
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}, line {number}, {error}") from error
    if decision.id != f"{path.name.removesuffix(_SUFFIX)}:{number}":
        raise DamagedFileError(f"{path}, line {number}, is the decision {decision.id} of another journal")
    return decision
