"""A place that labels are written to, shard by shard: claimed by one run, written to by its workers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from fmbseg.files import check_inside, encode_json, remove_leftovers
from fmbseg.labels.checks import check_shards
from fmbseg.labels.manifest import (
    MANIFEST,
    check_manifest,
    manifest_hash,
    read_manifest,
    shard_count,
    shard_length,
    short,
)
from fmbseg.labels.place import files_in, place_of, work_folder, written
from fmbseg.labels.shards import shard_name, to_row, write_shard
from fmbseg.part import Part
from fmbseg.written import WouldReplaceError, hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from fmbseg.labels.place import Place, Remote
    from fmbseg.labels.record import LabeledImage

JOURNAL = "journal.jsonl"
LOCK = ".fmbseg-labels.lock"
_NAMED = 4


class Claimed:
    """Holds a place for one label set, and knows which of its shards are missing.

    Use it as a context manager; it holds the folder's lock. Workers write with :func:`write_whole_shard`,
    which needs none. Object storage has no lock: there, runs of one configuration on several machines may
    make the same shard, of which the first counts; on one machine a lock tells the runs of one part apart.

    Args:
        out: to write to, a folder or a URI; created if it does not exist.
        manifest: of the whole label set, with or without its hash.
        part: that the run makes; for a URI, each part has a lock and a journal of its own.

    Attributes:
        place: that is written to.
        work: local folder of the lock and of a journal.
        manifest: with its hash.
        absent: places of the shards that are missing, ascending, as they were when the folder was claimed.

    Raises:
        ValueError: the folder holds labels of another configuration, or the manifest lacks something.
        WouldReplaceError: the folder holds files of no label set under names of one, or another run is
            writing to it.
        DamagedFileError: a shard is damaged, or not of this label set.
        OSError: the folder cannot be written to.
    """

    def __init__(
        self, out: str | Path | Remote, manifest: Mapping[str, Any], part: Part | None = None
    ) -> None:
        self.place = place_of(out)
        plain = json.loads(json.dumps(manifest))  # as it will be read back: tuples become lists
        check_manifest(plain)
        self.manifest: dict[str, Any] = {**plain, "hash": manifest_hash(plain)}
        self.work = work_folder(self.place, self.manifest["hash"], str(part or Part()))
        self._lock = FileLock(self.work / LOCK)
        self.absent: list[int] = []

    def __enter__(self) -> Claimed:
        hold(self._lock, self.place)
        try:
            remove_leftovers(self.work)
            _claim(self.place, self.manifest)
            there = present(self.place, self.manifest)
            check_shards(there, self.manifest)
            self.absent = [index for index in range(shard_count(self.manifest)) if index not in there]
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def absent_of(self, part: Part) -> list[int]:
        """Those of the missing shards that a part of the run makes."""
        own = part.take(range(shard_count(self.manifest)))
        return [index for index in self.absent if index in own]

    def write(self, index: int, rows: Iterable[dict[str, Any]]) -> None:
        """Write a shard whole or not at all; ``rows`` as in :func:`~fmbseg.labels.shards.write_shard`."""
        _write(self.place, self.manifest, index, rows)


def write_whole_shard(
    out: str | Path | Remote,
    manifest: Mapping[str, Any],
    index: int,
    results: Iterable[tuple[str, LabeledImage | str]],
) -> None:
    """Write one shard of a label set whole or not at all, from any process that can reach the folder.

    The bytes depend on the manifest and the results alone, so that a shard which two workers make is the same
    twice: in a folder the later one takes the place of the earlier, in object storage the first one counts.

    Args:
        out: folder of a label set that :class:`Claimed` has claimed.
        manifest: of the label set, with its hash.
        index: place of the shard, from 0.
        results: of all its photographs, in order: path, and labels or why there are none.

    Raises:
        ValueError: the photographs are not as many as the shard has, or a path leads out of their folder.
        OSError: the folder cannot be written to.
    """
    _write(place_of(out), manifest, index, _rows(results, manifest, index))


def _write(place: Place, manifest: Mapping[str, Any], index: int, rows: Iterable[dict[str, Any]]) -> None:
    with first_counts(place / shard_name(index), manifest, index) as shard:
        write_shard(shard, rows, manifest=manifest["hash"], shard=index)


@contextmanager
def first_counts(shard: Place, manifest: Mapping[str, Any], index: int) -> Iterator[Place]:
    """Accept, where the block finds it taken, that another run has written a shard to object storage first.

    Raises:
        DamagedFileError: what is there is not this shard.
    """
    try:
        yield shard
    except FileExistsError:
        check_shards({index: shard}, manifest)


def to_result_row(path: str, result: LabeledImage | str, root: Path | str) -> dict[str, Any]:
    """What a shard holds of a photograph: its record, or its path and why there is none.

    Args:
        path: of the photograph.
        result: its labels, or why there are none.
        root: folder or URI that paths start from.

    Raises:
        ValueError: a record's path leads out of the photographs' folder.
    """
    if isinstance(result, str):
        return {"path": path, "error": result}
    check_inside(root, path)
    return to_row(result)


def _rows(
    results: Iterable[tuple[str, LabeledImage | str]], manifest: Mapping[str, Any], index: int
) -> Iterator[dict[str, Any]]:
    root, expected, count = manifest["root"], shard_length(manifest, index), 0
    for path, result in results:
        count += 1
        yield to_result_row(path, result, root)
    if count != expected:
        raise ValueError(f"{shard_name(index)} has {expected} photographs, but results of {count} were given")


def present(place: Place, manifest: Mapping[str, Any]) -> dict[int, Place]:
    """The shards of a label set that lie in a place, by their positions."""
    there = files_in(place)
    names = ((index, shard_name(index)) for index in range(shard_count(manifest)))
    return {index: there[name] for index, name in names if name in there}


def _claim(place: Place, manifest: dict[str, Any]) -> None:
    """Make an empty place that of a label set, or accept one that the same configuration wrote to."""
    there = files_in(place)
    if MANIFEST not in there:
        for name in (JOURNAL, *map(shard_name, range(shard_count(manifest)))):
            if name in there:
                raise WouldReplaceError(
                    f"{there[name]} is there, but there is no {MANIFEST} that says what it "
                    "belongs to: move it away, or use another folder"
                )
        try:
            _write_manifest(place, manifest)
        except FileExistsError:  # another run on the same object storage began at this moment
            pass
        else:
            return
    found = read_manifest(place)
    check_same_run(place, found, manifest)
    if found["root"] != manifest["root"]:  # the same photographs, in a folder that was moved
        _write_manifest(place, manifest, replace=True)


def _write_manifest(place: Place, manifest: dict[str, Any], *, replace: bool = False) -> None:
    with written(place / MANIFEST, replace=replace) as file:
        file.write(encode_json(manifest))


def check_same_run(folder: Place, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
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
