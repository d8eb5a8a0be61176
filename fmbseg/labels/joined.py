"""Parts of one label set, each made in a folder of its own, joined into the label set of one run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from fmbseg.labels.checks import check_shards
from fmbseg.labels.claimed import Claimed, check_same_run, first_counts, present
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import MANIFEST, read_manifest, shard_count
from fmbseg.labels.place import is_there, opened, place_of, written
from fmbseg.labels.shards import shard_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from fmbseg.labels.place import Place

_BLOCK = 1 << 20


def are_parts(folders: Sequence[str | Path]) -> bool:
    """Whether label sets are parts of one: of the same photographs, words, models and settings.

    Raises:
        ValueError: one is no label set, or is damaged.
    """
    return len({read_manifest(place_of(folder))["hash"] for folder in folders}) == 1


def join(folders: Iterable[str | Path], out: str | Path) -> LabelSet:
    """Join parts (``fmbseg label --part 3/40``) into the label set of one run, equal to the last byte.

    Shards are copied, never opened anew: joining takes as long as copying. A run that was stopped continues.

    Args:
        folders: of the parts. Of a shard that two of them hold, the content must be equal.
        out: folder for the whole, or a URI.

    Raises:
        FileNotFoundError: a folder holds no label set, or shards are in none of the parts.
        ValueError: parts of different label sets, or shards that differ; or ``out`` holds other labels.
        DamagedFileError: a part is damaged.
        WouldReplaceError: ``out`` holds files of no label set, or another run is writing to it.
        OSError: ``out`` cannot be written.
    """
    parts, target = [place_of(folder) for folder in folders], place_of(out)
    if not parts:
        raise ValueError("there are no parts to join: name the folder of one or more")
    manifest = read_manifest(parts[0])
    if is_there(target / MANIFEST):
        parts.append(target)
    for part in parts[1:]:
        check_same_run(part, read_manifest(part), manifest)
    shards = _found(parts, manifest)
    with Claimed(target, manifest) as claimed:
        for index in claimed.absent:
            with (
                first_counts(target / shard_name(index), manifest, index) as copy,
                opened(shards[index]) as shard,
                written(copy) as file,
            ):
                shutil.copyfileobj(shard, file, _BLOCK)
        return LabelSet(target)


def _found(parts: Sequence[Place], manifest: Mapping[str, Any]) -> dict[int, Place]:
    """Every shard's file by its place."""
    shards: dict[int, Place] = {}
    contents: dict[int, str] = {}
    for part in parts:
        own = present(part, manifest)
        for index, facts in zip(own, check_shards(own, manifest), strict=True):
            first = shards.setdefault(index, own[index])
            if contents.setdefault(index, facts.content) != facts.content:
                raise ValueError(
                    f"{first} and {own[index]} are the same shard with different labels: leave one out"
                )
    count = shard_count(manifest)
    missing = [index for index in range(count) if index not in shards]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {count} shards are in none of the parts, the first {shard_name(missing[0])}: "
            "finish the parts, and name all of them"
        )
    return shards
