"""A run's folder: what is measured and how, and a line for each image that was, so that a run can go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.files import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUN_FILE = "run.json"
IMAGES_FILE = "images.jsonl"


class RunError(ValueError):
    """A folder of a run that does not fit what is asked of it; the message names the folder."""


@dataclass(frozen=True)
class Journal:
    """The folder of one run.

    Args:
        folder: that holds it.
    """

    folder: Path

    def begin(self, run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Start a run, or go on with one that was stopped.

        Args:
            run: what is measured and how, as JSON values.

        Returns:
            The lines of images that were measured before, by key.

        Raises:
            RunError: the folder holds another run, or files of other programs' making.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / RUN_FILE
        if not path.exists():
            if any(self.folder.iterdir()):
                raise RunError(f"{self.folder} holds files but no {RUN_FILE}: give a new folder")
            write_json(path, run)
            return {}
        before = read_run(self.folder)
        if before != json.loads(json.dumps(run)):
            changed = sorted(key for key in {*before, *run} if before.get(key) != run.get(key))
            raise RunError(
                f"{self.folder} holds a run that differs in {', '.join(changed)}: give a new folder, or "
                f"delete this one"
            )
        rows = read_rows(self.folder)
        self._rewrite(rows)
        return rows

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one image's line."""
        with (self.folder / IMAGES_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _rewrite(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Leave out a last line that a kill cut short, for the next would be written behind it."""
        part = self.folder / f".{IMAGES_FILE}.part"
        part.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8")
        part.replace(self.folder / IMAGES_FILE)


def read_run(folder: Path) -> dict[str, Any]:
    """What a folder's run measures and how.

    Raises:
        RunError: it is no folder of a run.
    """
    path = folder / RUN_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} is no folder of a run: {path} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise RunError(f"{folder} is no folder of a run: {path} holds no JSON object")
    return found


def read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """The lines of a run's images by key; what a kill cut short is left out.

    Raises:
        RunError: a damaged file.
    """
    path = folder / IMAGES_FILE
    if not path.exists():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line feed was not finished
    try:
        rows = [json.loads(line) for line in lines]
        return {str(row["key"]): row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error!r}): delete {folder} and measure again") from error
