"""What is wrong with a row of a shard, whatever wrote it."""

from __future__ import annotations

import math
import re
from base64 import b64decode
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fmbseg.files import inside
from fmbseg.labels.record import STAGES
from fmbseg.labels.run_lengths import check_counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHA256 = re.compile("[0-9a-f]{64}")
_SCORES = ("predicted_iou", "stability", "similarity")
_NO_FEATURE = -1
_PLAIN = ("class_id", "stage", "predicted_iou", "stability", "similarity", "kept")


def row_problems(row: dict[str, Any], classes: int, root: Path) -> Iterator[str]:
    """Yield every reason why a row is not a valid record of its label set.

    Args:
        row: as it is read from a shard.
        classes: of the vocabulary.
        root: folder that the photographs' paths start from; a path may not leave it.
    """
    path, size = row["path"], (row["height"], row["width"])
    if any(row[name] is None for name in ("path", "sha256", "height", "width", "detected", "masks")):
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
    for number, mask in enumerate(row["masks"]):
        for what in _mask_problems(mask, size):
            yield f"{path}, mask {number}: {what}"
    if len({_dimensions(mask["feature"]) for mask in row["masks"]}) > 1:
        yield f"{path} has masks with features of different lengths"


def _path_problems(root: Path, path: str) -> Iterator[str]:
    try:
        inside(root, path)
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
        yield "a score of it is not a number"
    if len(mask["points"]) % 2:
        yield "one of its query points has no y"
    if not all(one is not None and math.isfinite(one) for one in mask["points"]):
        yield "a query point of it is not a number"
    if _dimensions(mask["feature"]) == _NO_FEATURE:
        yield "its feature is none in base64"
    try:
        check_counts(mask["counts"].encode(), size)
    except ValueError as error:
        yield str(error)


def _dimensions(feature: str | None) -> int | None:
    """How many numbers of 16 bits a feature has; None where there is none."""
    if feature is None:
        return None
    try:
        length = len(b64decode(feature, validate=True))
    except ValueError:
        return _NO_FEATURE
    return length // 2 if length and length % 2 == 0 else _NO_FEATURE
