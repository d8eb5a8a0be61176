"""A run's folder: what is measured and how, and one line per measured image, so that a run can continue."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import RowJournal, iterate_rows, read_sealed_json, write_sealed_json
from fmbseg.files import DamagedFileError, remove_leftovers
from fmbseg.written import WrittenFiles, check_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

RUN_FILE = "run.json"
IMAGES_FILE = "images.jsonl"
KIND = "evaluation"


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
    changed = sorted(key for key in wanted if before.get(key) != wanted[key])
    if changed:
        raise RunError(
            f"{folder} holds a run that differs in {', '.join(changed)}: give a new folder, or delete this "
            "one"
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
