"""Checking a label set on disk: every shard against the manifest, every record, and the photographs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.checksums import read_rows
from fmbseg.labels.label_set import open_shard, read_shard
from fmbseg.labels.manifest import ERRORS, read_manifest, shard_count
from fmbseg.labels.photograph import PhotographError, checked_photograph
from fmbseg.labels.row_checks import row_problems
from fmbseg.labels.shards import shard_name, shard_origin
from fmbseg.labels.writer import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Iterator

_REDO = "delete it and run the same labelling again: only this shard is redone"


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a label set.

    Attributes:
        file: in which it is, from the label set's folder; or the photograph's path.
        what: is wrong, and what to do.
    """

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


class _Photograph(NamedTuple):
    path: str
    sha256: str


def verify(folder: str | Path, *, photographs: bool = False) -> list[Problem]:
    """Check all that a label set's files say, one record in memory at a time.

    The manifest's own hash; that every shard is there, whole (by its checksums), of this label set and of
    this place in it, and holds as many records as it should, errors counted; that every photograph comes
    once and no path leaves the photographs' folder; that every mask fills its photograph and has a known
    class and stage.

    Args:
        folder: of the label set.
        photographs: also read every photograph and compare its SHA-256.

    Returns:
        What is wrong; nothing where all is well.

    Raises:
        FileNotFoundError: there is no manifest.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
        failed = Counter(row["shard"] for row in read_rows(folder / ERRORS))
    except FileNotFoundError:
        raise
    except ValueError as error:
        return [Problem(folder.name, str(error))]
    found = list(_stray_files(folder, manifest))
    seen: set[str] = set()
    root, classes = Path(manifest["root"]), len(manifest["vocabulary"]["names"])
    for index in range(shard_count(manifest)):
        shard = folder / shard_name(index)
        if not shard.exists():
            found.append(Problem(shard.name, "is missing: run the same labelling again, it continues"))
            continue
        try:
            found += _check_shard(shard, index, manifest, failed[index])
            for row in read_shard(shard):
                wrong = list(row_problems(row, classes, root))
                if row["path"] in seen:
                    wrong.append(f"{row['path']} is in the label set twice")
                seen.add(row["path"])
                found += (Problem(shard.name, f"{what}; {_REDO}") for what in wrong)
                if photographs and not wrong:
                    found += _check_photograph(root, row)
        except ValueError as error:
            found.append(Problem(shard.name, str(error)))
    return found


def _stray_files(folder: Path, manifest: dict[str, Any]) -> Iterator[Problem]:
    known = {shard_name(index) for index in range(shard_count(manifest))}
    for path in sorted(folder.glob("shard-*.parquet")):
        if path.name not in known:
            yield Problem(path.name, f"is no shard of this label set, which has {len(known)}: move it away")
    if (folder / JOURNAL).exists():
        yield Problem(JOURNAL, "the labelling is not finished: run it again, it continues")


def _check_shard(shard: Path, index: int, manifest: dict[str, Any], failed: int) -> Iterator[Problem]:
    file = open_shard(shard)
    origin = shard_origin(file)
    if origin.get("manifest", manifest["hash"]) != manifest["hash"]:
        yield Problem(shard.name, f"is of another label set: {_REDO}")
    if origin.get("shard", str(index)) != str(index):
        yield Problem(shard.name, f"was written as shard {origin['shard']}: {_REDO}")
    size = int(manifest["shard_size"])
    expected = min(size, int(manifest["images"]["count"]) - index * size)
    rows = file.metadata.num_rows
    if rows + failed != expected:
        yield Problem(
            shard.name,
            f"holds {rows} records, and {ERRORS} lists {failed} photographs of it, but it is of {expected}: "
            f"{_REDO}",
        )


def _check_photograph(root: Path, row: dict[str, Any]) -> Iterator[Problem]:
    try:
        checked_photograph(root, _Photograph(row["path"], row["sha256"]))
    except PhotographError as error:
        yield Problem(row["path"], str(error))
