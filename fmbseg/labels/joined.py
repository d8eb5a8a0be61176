"""Parts of one label set, each made in a folder of its own, joined into the label set of one run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from fmbseg.files import atomic_path, remove_leftovers
from fmbseg.labels.checks import check_failures, check_shards, write_failures
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import MANIFEST, read_manifest, shard_count
from fmbseg.labels.shards import read_facts, shard_name
from fmbseg.labels.writer import LOCK, check_same_run, claim
from fmbseg.written import hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def are_parts(folders: Sequence[str | Path]) -> bool:
    """Whether label sets are parts of one: of the same photographs, words, models and settings.

    Raises:
        ValueError: one is no label set, or is damaged.
    """
    return len({read_manifest(Path(folder))["hash"] for folder in folders}) == 1


def join(folders: Iterable[str | Path], out: str | Path) -> LabelSet:
    """Join parts (``fmbseg label --part 3/40``) into the label set of one run, equal to the last byte.

    Shards are copied, never opened anew: joining takes as long as copying. A run that was stopped continues.

    Args:
        folders: of the parts. Of a shard that two of them hold, the content must be equal.
        out: folder for the whole.

    Raises:
        FileNotFoundError: a folder holds no label set, or shards are in none of the parts.
        ValueError: parts of different label sets, or shards that differ; or ``out`` holds other labels.
        DamagedFileError: a part is damaged.
        WouldReplaceError: ``out`` holds files of no label set, or another run is writing to it.
        OSError: ``out`` cannot be written.
    """
    parts, target = [Path(folder) for folder in folders], Path(out)
    if not parts:
        raise ValueError("there are no parts to join: name the folder of one or more")
    manifest = read_manifest(parts[0])
    if (target / MANIFEST).exists():
        parts.append(target)
    for part in parts[1:]:
        check_same_run(part, read_manifest(part), manifest)
    lock = FileLock(target / LOCK)
    hold(lock)
    try:
        remove_leftovers(target)
        shards, failures = _found(parts, manifest)
        claim(target, manifest)
        write_failures(target, manifest, failures)  # before the shards, as `LabelWriter` does
        for index, shard in shards.items():
            copy = target / shard_name(index)
            if not copy.exists():
                with atomic_path(copy) as temporary:
                    shutil.copyfile(shard, temporary)
        return LabelSet(target)
    finally:
        lock.release()


def _found(
    parts: Sequence[Path], manifest: Mapping[str, Any]
) -> tuple[dict[int, Path], list[dict[str, Any]]]:
    """Every shard's file by its place, in order, and the photographs that could not be labelled."""
    count = shard_count(manifest)
    shards: dict[int, Path] = {}
    failures: list[dict[str, Any]] = []
    for part in parts:
        own = {i: part / shard_name(i) for i in range(count) if (part / shard_name(i)).exists()}
        failed = check_failures(part, list(own), check_shards(own, manifest), manifest)
        for index, shard in own.items():
            first = shards.setdefault(index, shard)
            if read_facts(first).content != read_facts(shard).content:
                raise ValueError(
                    f"{first} and {shard} are the same shard with different labels: leave one out"
                )
        failures += [row for row in failed if row["shard"] in own and shards[row["shard"]].parent == part]
    missing = [index for index in range(count) if index not in shards]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {count} shards are in none of the parts, the first {shard_name(missing[0])}: "
            "finish the parts, and name all of them"
        )
    failures.sort(key=lambda row: int(row["shard"]))
    return dict(sorted(shards.items())), failures
