"""Checks of a label set: its shards and their rows."""

from __future__ import annotations

import math
import re
from base64 import b64decode
from contextlib import closing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fmbseg.ahead import ordered_map
from fmbseg.files import DamagedFileError, check_inside
from fmbseg.labels.manifest import shard_length
from fmbseg.labels.place import at_once
from fmbseg.labels.record import STAGES
from fmbseg.labels.run_lengths import check_counts
from fmbseg.labels.shards import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fmbseg.labels.place import Place
    from fmbseg.labels.shards import ShardFacts

REDO = "delete it and run the same labelling again: only this shard is redone"


def shard_problems(facts: ShardFacts, index: int, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield every reason why a shard is not number ``index`` of a label set.

    Args:
        facts: what the shard records about itself.
        index: its place, from 0.
        manifest: of the label set.
    """
    if facts.manifest != manifest["hash"]:
        yield f"belongs to another label set: {REDO}"
    if facts.shard != index:
        yield f"was written as shard {facts.shard}: {REDO}"
    expected = shard_length(manifest, index)
    if facts.rows + facts.failed != expected:
        yield (
            f"holds {facts.rows} records and {facts.failed} failures, but it should have {expected} "
            f"photographs: {REDO}"
        )


def check_shards(shards: Mapping[int, Place], manifest: Mapping[str, Any]) -> list[ShardFacts]:
    """Make sure that shards are those of a label set, at their places; only their footers are read.

    Args:
        shards: by their places.
        manifest: of the label set.

    Raises:
        DamagedFileError: one is damaged, of another label set, of another place in it, or lacks a photograph.
    """
    found = []
    workers = at_once(shards.values())
    with closing(ordered_map(lambda one: read_facts(one[1]), shards.items(), workers=workers)) as read:
        for (index, shard), facts in read:
            for problem in shard_problems(facts, index, manifest):
                raise DamagedFileError(f"{shard} {problem}")
            found.append(facts)
    return found


_SHA256 = re.compile("[0-9a-f]{64}")
_SCORES = ("predicted_iou", "stability", "similarity")
_NO_FEATURE = -1
_ALWAYS = ("path", "sha256", "height", "width", "detected", "presences", "masks")
_PLAIN = ("class_id", "stage", "predicted_iou", "stability", "similarity", "kept")


def row_problems(row: dict[str, Any], classes: int, root: Path | str) -> Iterator[str]:
    """Yield every reason why a row is not a valid record of its label set.

    Args:
        row: as it is read from a shard.
        classes: of the vocabulary.
        root: folder or URI that the photographs' paths start from; a path may not leave it.
    """
    path, size = row["path"], (row["height"], row["width"])
    if any(
        row[name] is None for name in ("path", "sha256", "height", "width", "detected", "presences", "masks")
    ):
        yield f"{path} has an empty field"
        return
    yield from _path_problems(root, path)
    if not _SHA256.fullmatch(row["sha256"]):
        yield f"{path} has no SHA-256"
    if min(size) < 1:
        yield f"{path} has {size[0]} x {size[1]} pixels"
    named = {mask["class_id"] for mask in row["masks"]}
    detected = set(row["detected"])
    if any(index is None or not 0 <= index < classes for index in named | detected):
        yield f"{path} has a class outside 0 to {classes - 1}"
    if not named <= detected:
        yield f"{path} has a mask of a class that is not among those detected"
    if len(row["presences"]) != len(row["detected"]) or not all(map(_is_share, row["presences"])):
        yield f"{path} does not say of each detected class how likely it is there, 0 to 1 or null"
    for number, mask in enumerate(row["masks"]):
        for what in _mask_problems(mask, size):
            yield f"{path}, mask {number}: {what}"
    if len({_dimensions(mask["feature"]) for mask in row["masks"]}) > 1:
        yield f"{path} has masks with features of different lengths"


def _path_problems(root: Path | str, path: str) -> Iterator[str]:
    try:
        check_inside(root, path)
    except ValueError as error:
        yield str(error)
        return
    plain = PurePosixPath(path).as_posix()
    if plain != path:  # else one photograph could have several names
        yield f"{path!r} is not the plainest form of a path, {plain!r}"


def _mask_problems(mask: dict[str, Any], size: tuple[int, int]) -> Iterator[str]:
    if any(mask[name] is None for name in ("counts", "points", *_PLAIN)):
        yield "it has an empty field"
        return
    if mask["stage"] not in STAGES:
        yield f"its stage is {mask['stage']}"
    if not all(math.isfinite(mask[name]) for name in _SCORES):
        yield "one of its scores is not a number"
    if not _is_share(mask["certainty"]):
        yield "its certainty is not from 0 to 1"
    if len(mask["points"]) % 2:
        yield "one of its query points has no y"
    if not all(one is not None and math.isfinite(one) for one in mask["points"]):
        yield "one of its query points is not a number"
    if _dimensions(mask["feature"]) == _NO_FEATURE:
        yield "its feature is not valid base64"
    try:
        check_counts(mask["counts"].encode(), size)
    except ValueError as error:
        yield str(error)


def _is_share(value: float | None) -> bool:
    return value is None or 0 <= value <= 1


def _dimensions(feature: str | None) -> int | None:
    """How many numbers of 16 bits a feature has; None where there is none."""
    if feature is None:
        return None
    try:
        length = len(b64decode(feature, validate=True))
    except ValueError:
        return _NO_FEATURE
    return length // 2 if length and length % 2 == 0 else _NO_FEATURE
