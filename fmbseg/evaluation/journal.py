"""A run's folder: what is measured and how, and one line per measured image, so that a run can continue."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import RowJournal, iterate_rows, read_sealed_json, write_sealed_json
from fmbseg.files import DamagedFileError, remove_leftovers
from fmbseg.written import WrittenFiles, check_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

RUN_FILE = "run.json"
IMAGES_FILE = "images.jsonl"
KIND = "evaluation"
_SHOWN, _LONGEST = 3, 60


class RunError(ValueError):
    """A run's folder does not fit the requested run; the message names the folder."""


class RunFolder:
    """One run, in a folder that is locked while the run is open; use it as a context manager.

    The folder holds ``run.json``, with its own checksum; ``images.jsonl``, whose first line says which run
    it belongs to and whose lines have checksums; and the report and the pictures, listed as
    :class:`~fmbseg.written.WrittenFiles` does.

    Args:
        folder: of the run; created if it does not exist.
        run: what is measured and how, as JSON values.
        reports: names of the files that will be written at the end.

    Attributes:
        files: for the reports and the pictures.
        rows: the lines of images measured earlier, by key.

    Raises:
        RunError: the folder holds another run, other programs' files, or a damaged file.
        WouldReplaceError: a report that fmbseg did not write is in the way, or another run writes there.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], reports: Sequence[str] = ()) -> None:
        self.folder = folder
        self.rows: dict[str, dict[str, Any]] = {}
        self.files = WrittenFiles(folder, KIND)
        self._run = json.loads(json.dumps(run))
        self._reports = reports
        self._journal: RowJournal | None = None

    def __enter__(self) -> RunFolder:
        check_run(self.folder, self._run, self._reports)  # before anything is made
        self.files.__enter__()
        try:
            self._open()
        except BaseException as error:
            self.files.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()
        self.files.__exit__(kind, error, trace)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one image's line; it is on disk when this returns."""
        assert self._journal is not None
        self._journal.append(row)
        self.rows[row["key"]] = dict(row)

    def take(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the lines of other runs' images, where they are not here yet."""
        for key, row in rows.items():
            if self.rows.get(key) != row:
                self.add(row)

    def _open(self) -> None:
        remove_leftovers(self.folder, [RUN_FILE, *self._reports])
        if not (self.folder / RUN_FILE).exists():
            write_sealed_json(self.folder / RUN_FILE, self._run)
        self.rows, end, chain = _read_journal(self.folder, self._run)
        self._journal = RowJournal(self.folder / IMAGES_FILE, end, chain)  # a line cut short by a kill goes
        if not end:
            self._journal.append({"run": _digest(self._run)})


def check_run(folder: Path, run: Mapping[str, Any], reports: Sequence[str] = ()) -> None:
    """Raise, before any work, if a run could not be written to a folder.

    Args:
        folder: the folder, which need not exist.
        run: what is measured and how, as far as known.
        reports: names of the files that will be written at the end.

    Raises:
        RunError: the folder holds another run, or other programs' files.
        WouldReplaceError: a report that fmbseg did not write is in the way.
    """
    check_folder(folder, KIND, reports)
    if not (folder / RUN_FILE).exists():
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise RunError(f"{folder} holds files but no {RUN_FILE}: give a new folder")
        return
    before, wanted = read_run(folder), json.loads(json.dumps(run))
    changed = differences({key: before.get(key) for key in wanted}, wanted)
    if changed:
        raise RunError(
            f"{folder} holds a run that differs in {changed}: give a new folder, or delete this one"
        )


def read_run(folder: Path) -> dict[str, Any]:
    """What a folder's run measures and how.

    Raises:
        RunError: it is not a folder of a run, or the file is damaged.
    """
    path = folder / RUN_FILE
    try:
        return read_sealed_json(path)
    except DamagedFileError as error:
        raise RunError(
            f"{folder} is not a folder of a run: {error}. Give a new folder, or delete this one and measure "
            "again"
        ) from error
    except OSError as error:
        raise RunError(f"{folder} is not a folder of a run: {path} cannot be read ({error})") from error


def measured_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """The lines of a run's images by key; what a kill cut short is left out.

    Raises:
        RunError: the file is damaged, or belongs to another run.
    """
    return _read_journal(folder, read_run(folder))[0]


def joined(paths: Sequence[Path]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The run that the runs of all parts add up to, and its lines by key, in the set's order.

    Raises:
        RunError: runs of different things, of the same part, or parts that are missing, not finished or
            damaged.
    """
    if not paths:
        raise RunError("no run to join: name the folders of all parts")
    runs = [read_run(path) for path in paths]
    alike = [{**run, "part": None} for run in runs]
    for path, one in zip(paths, alike, strict=True):
        if changed := differences(one, alike[0]):
            raise RunError(f"{path} and {paths[0]} differ in {changed}: they do not add up")
    parts = sorted(tuple(run["part"]) for run in runs)
    count = parts[0][1]
    if parts != [(index, count) for index in range(1, count + 1)]:
        raise RunError(f"these are the parts {parts}: each of 1 to {count} is needed once")
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        rows.update(measured_rows(path))
    wanted = runs[0]["data"]["keys"]
    missing = [key for key in wanted if key not in rows]
    if missing:
        raise RunError(f"{len(missing)} images were not measured, the first {missing[0]!r}: finish the runs")
    return {**runs[0], "part": [1, 1]}, {key: rows[key] for key in wanted}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs between two runs, the first few with both values; empty where nothing does.

    Example:
        >>> differences({"protocol": {"name": "own", "step": 4}}, {"protocol": {"name": "tcl", "step": 4}})
        "protocol name ('own' and 'tcl')"
    """
    found = list(_differences(one, other, ""))
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], before: str) -> Iterator[str]:
    for key in sorted(one.keys() | other.keys()):
        here, there = one.get(key), other.get(key)
        if here == there:
            continue
        if isinstance(here, dict) and isinstance(there, dict):
            yield from _differences(here, there, f"{before}{key} ")
        else:
            yield f"{before}{key} ({_told(here)} and {_told(there)})"


def _told(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _read_journal(folder: Path, run: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], int, int]:
    """The lines by key (the last one where an image first failed), where they end, and their chain."""
    path = folder / IMAGES_FILE
    rows: dict[str, dict[str, Any]] = {}
    end = chain = 0
    remedy = f"delete {path} and run the same again: its images are measured again"
    try:
        for row, row_end, row_chain in iterate_rows(path):
            if not end and row.get("run") != _digest(run):
                raise RunError(f"{path} belongs to another run than {folder / RUN_FILE}: {remedy}")
            if end:
                rows[row["key"]] = row
            end, chain = row_end, row_chain
    except DamagedFileError as error:
        raise RunError(f"{error}: {remedy}") from error
    return rows, end, chain


def _digest(run: Mapping[str, Any]) -> str:
    return sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
