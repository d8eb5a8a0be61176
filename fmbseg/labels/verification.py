"""Checking a label set on disk: every shard against the manifest, every record, and the photographs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import read_rows
from fmbseg.labels.label_set import open_shard, read_shard
from fmbseg.labels.manifest import ERRORS, read_manifest, shard_count
from fmbseg.labels.record import STAGES
from fmbseg.labels.run_lengths import check_counts
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


def verify(folder: str | Path, *, photographs: bool = False) -> list[Problem]:
    """Check all that a label set's files say, one record in memory at a time.

    The manifest's own hash; that every shard is there, whole (by its checksums), of this label set and of
    this place in it, and holds as many records as it should, errors counted; that every photograph comes
    once; that every mask fills its photograph and has a known class and stage.

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
    for index in range(shard_count(manifest)):
        shard = folder / shard_name(index)
        if not shard.exists():
            found.append(Problem(shard.name, "is missing: run the same labelling again, it continues"))
            continue
        try:
            found += _check_shard(shard, index, manifest, failed[index])
            for row in read_shard(shard):
                found += _check_row(shard, row, manifest, seen)
                if photographs:
                    found += _check_photograph(Path(manifest["root"]), row)
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


def _check_row(
    shard: Path, row: dict[str, Any], manifest: dict[str, Any], seen: set[str]
) -> Iterator[Problem]:
    path, size = row["path"], (row["height"], row["width"])

    def wrong(what: str) -> Problem:
        return Problem(shard.name, f"{path}: {what}; {_REDO}")

    if path in seen:
        yield wrong("is in the label set twice")
    seen.add(path)
    classes = len(manifest["vocabulary"]["names"])
    named = {mask["class_id"] for mask in row["masks"]}
    if any(not 0 <= index < classes for index in named | set(row["detected"])):
        yield wrong(f"has a class outside 0 to {classes - 1}")
    if not named <= set(row["detected"]):
        yield wrong("has a mask of a class that is not among those detected")
    for number, mask in enumerate(row["masks"]):
        if mask["stage"] not in STAGES:
            yield wrong(f"mask {number} has stage {mask['stage']}")
        try:
            check_counts(mask["counts"].encode(), size)
        except ValueError as error:
            yield wrong(f"mask {number}: {error}")


def _check_photograph(root: Path, row: dict[str, Any]) -> Iterator[Problem]:
    try:
        digest = sha256((root / row["path"]).read_bytes()).hexdigest()
    except OSError as error:
        yield Problem(row["path"], f"cannot be read ({error.strerror}): put it back")
        return
    if digest != row["sha256"]:
        yield Problem(row["path"], "was changed since it was labelled: put it back, or label again")
