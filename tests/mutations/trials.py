"""Damaging files one by one, each use in a process that may hang or die."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fmbseg.cli.friendly import is_for_the_user
from tests.mutations.mutate import damaged
from tests.mutations.subjects import SUBJECTS, Subject, build, digest

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_FORK = multiprocessing.get_context("fork")
_SECONDS = 60  # a use takes less than one; what takes this long hangs

KINDS = ("friendly", "same", "silent", "traceback")
"""Told on one line that names the file or its folder; no difference; a difference not told; anything else."""


@dataclass
class Row:
    """What came of the damages of one file."""

    subject: str
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """How often the file was damaged."""
        return sum(self.counts.values())


def run(count: int, *, seed: int = 0) -> list[Row]:
    """Damage each kind of file equally often, ``count`` times in all."""
    with TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        whole.mkdir()
        building = _FORK.Process(target=build, args=(whole,))
        building.start()  # a process that has trained cannot be forked for another training
        building.join()
        assert building.exitcode == 0, "the files could not be written"
        shares = [count // len(SUBJECTS) + (index < count % len(SUBJECTS)) for index in range(len(SUBJECTS))]
        return [
            _tried(subject, whole, Path(folder, "used"), share, seed)
            for subject, share in zip(SUBJECTS, shares, strict=True)
        ]


def table(rows: list[Row]) -> str:
    """As Markdown, with a last row of sums."""
    lines = ["| file | tried | friendly | same | silent | traceback |", "|---|---|---|---|---|---|"]
    total = Row("all", sum((row.counts for row in rows), Counter()))
    for row in [*rows, total]:
        figures = " | ".join(str(row.counts[kind]) for kind in KINDS)
        lines.append(f"| {row.subject} | {row.tried} | {figures} |")
    return "\n".join(lines)


def _tried(subject: Subject, whole: Path, used: Path, count: int, seed: int) -> Row:
    row = Row(subject.name)
    start = 0
    while start < count:
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(
            target=_try_all, args=(subject, whole, used, range(start, count), seed, theirs)
        )
        process.start()
        theirs.close()
        while start < count:
            try:
                kind, what = ours.recv()
            except EOFError:  # it died
                kind, what = "traceback", f"{subject.name}, damage {start}: the process died"
            row.counts[kind] += 1
            if kind not in ("friendly", "same"):
                row.faults.append(what)
            start += 1
            if what.endswith("died"):
                break
        process.join()
    return row


def _try_all(
    subject: Subject, whole: Path, used: Path, numbers: range, seed: int, answers: Connection
) -> None:
    """Use a file that is whole, then damaged ones; send what came of each."""
    content = subject.path(whole).read_bytes()
    expected, usual = _use(subject, whole, used, content)
    for number in numbers:
        # One generator a damage, so that each can be looked at by itself.
        bad, how = damaged(content, Random(f"{seed} {subject.name} {number}"))
        signal.alarm(_SECONDS)
        kind, what = _outcome(subject, whole, used, bad, expected, usual)
        signal.alarm(0)
        answers.send((kind, f"{subject.name}, damage {number} ({how}): {what}"))


def _outcome(
    subject: Subject, whole: Path, used: Path, content: bytes, expected: str, usual: set[str]
) -> tuple[str, str]:
    try:
        found, told = _use(subject, whole, used, content)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        named = subject.path(whole).name in str(error) or subject.path(whole).parent.name in str(error)
        if is_for_the_user(error) and named and "\n" not in str(error).strip():
            return "friendly", str(error)
        return "traceback", traceback.format_exc()
    if found == expected:
        return "same", ""
    new = "; ".join(sorted(told - usual))
    return ("friendly", new) if new else ("silent", "the outcome is another, and nothing said so")


def _use(subject: Subject, whole: Path, used: Path, content: bytes) -> tuple[str, set[str]]:
    """The outcome of using a copy in which the file has this content, and the warnings."""
    shutil.rmtree(used, ignore_errors=True)
    shutil.copytree(whole, used, symlinks=True)
    subject.path(used).write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome: Any = digest(subject.use(used))
    return outcome, {str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)}
