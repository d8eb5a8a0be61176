"""Checking a label set on disk: every shard against the manifest, every record, and the photographs."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.files import DamagedFileError
from fmbseg.labels.checks import REDO, row_problems, shard_problems
from fmbseg.labels.claimed import JOURNAL
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import read_manifest, shard_count
from fmbseg.labels.place import files_in, place_of
from fmbseg.labels.record import PhotographError, checked_photograph
from fmbseg.labels.shards import encode_row, read_facts, read_shard, shard_name
from fmbseg.review.journal import FOLDER
from fmbseg.storage import path_or_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """A fault of a label set.

    Attributes:
        file: where the fault is, relative to the label set's folder; or the photograph's path.
        what: what is wrong, and what to do.
    """

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


class _Photograph(NamedTuple):
    path: str
    sha256: str


def verify(folder: str | Path, *, photographs: bool = False) -> list[Problem]:
    """Check every file of a label set, holding one record in memory at a time.

    The manifest's own hash; that every shard is there, whole (by its checksums), of this label set and of
    this place in it, and holds as many records as it should, errors counted; that every photograph comes
    once and no path leaves the photographs' folder; that every mask fills its photograph and has a known
    class and stage; and, where all that is well, that people's corrections fit.

    Args:
        folder: of the label set, or its URI.
        photographs: also read every photograph and compare its SHA-256.

    Returns:
        The faults; empty if all is well.

    Raises:
        FileNotFoundError: there is no manifest.
    """
    place = place_of(folder)
    try:
        manifest = read_manifest(place)
    except FileNotFoundError:
        raise
    except ValueError as error:
        return [Problem(place.name, str(error))]
    there = files_in(place)
    found = list(_stray_files(there, manifest))
    seen: set[str] = set()
    root, classes = path_or_uri(manifest["root"]), len(manifest["vocabulary"]["names"])
    for index in range(shard_count(manifest)):
        shard = there.get(shard_name(index))
        if shard is None:
            found.append(
                Problem(shard_name(index), "is missing: run the same labelling again, and it continues")
            )
            continue
        try:
            facts = read_facts(shard)
            found += (Problem(shard.name, what) for what in shard_problems(facts, index, manifest))
            content = sha256()
            for row in read_shard(shard):
                content.update(encode_row(row))
                wrong = list(row_problems(row, classes, root))
                if row["path"] in seen:
                    wrong.append(f"{row['path']} is in the label set twice")
                seen.add(row["path"])
                found += (Problem(shard.name, f"{what}; {REDO}") for what in wrong)
                if photographs and not wrong:
                    found += _check_photograph(root, row)
            if content.hexdigest() != facts.content:
                found.append(Problem(shard.name, f"does not have the records that its hash is of: {REDO}"))
        except (ValueError, OSError) as error:
            found.append(Problem(shard.name, str(error)))
    return found + ([] if found else list(_check_corrections(folder)))


def _stray_files(there: Iterable[str], manifest: dict[str, Any]) -> Iterator[Problem]:
    known = {shard_name(index) for index in range(shard_count(manifest))}
    for name in sorted(there):
        if fnmatch(name, "shard-*.parquet") and name not in known:
            yield Problem(name, f"is not one of this label set's {len(known)} shards: move it away")
    if JOURNAL in there:
        yield Problem(JOURNAL, "the labelling is not finished: run it again, and it continues")


def _check_corrections(folder: str | Path) -> Iterator[Problem]:
    try:
        for _ in LabelSet(folder):
            pass
    except DamagedFileError as error:
        yield Problem(FOLDER, str(error))


def _check_photograph(root: Path | str, row: dict[str, Any]) -> Iterator[Problem]:
    try:
        checked_photograph(root, _Photograph(row["path"], row["sha256"]))
    except PhotographError as error:
        yield Problem(row["path"], str(error))
