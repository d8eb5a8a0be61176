"""Whether a shard is the one that belongs at its place in a label set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fmbseg.files import DamagedFileError
from fmbseg.labels.failures import ERRORS, read_failures
from fmbseg.labels.manifest import shard_length
from fmbseg.labels.shard_files import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fmbseg.labels.shard_files import ShardFacts

REDO = "delete it and run the same labelling again: only this shard is redone"
_NAMED = 3


def shard_problems(
    facts: ShardFacts, index: int, manifest: Mapping[str, Any], failed: int | None = None
) -> Iterator[str]:
    """Yield every reason why a shard is not number ``index`` of a label set.

    Args:
        facts: what the shard records about itself.
        index: its place, from 0.
        manifest: of the label set.
        failed: photographs of the shard that could not be labelled; None where this is not asked.
    """
    if facts.manifest != manifest["hash"]:
        yield f"belongs to another label set: {REDO}"
    if facts.shard != index:
        yield f"was written as shard {facts.shard}: {REDO}"
    expected = shard_length(manifest, index)
    if failed is not None and facts.rows + failed != expected:
        yield (
            f"holds {facts.rows} records, and {ERRORS} lists {failed} photographs of it, but it is of "
            f"{expected}: {REDO}"
        )


def check_shards(shards: Mapping[int, Path], manifest: Mapping[str, Any]) -> list[ShardFacts]:
    """Make sure that shards are those of a label set, at their places; only their footers are read.

    Args:
        shards: by their places.
        manifest: of the label set.

    Raises:
        DamagedFileError: one is damaged, of another label set, or of another place in it.
    """
    found = []
    for index, shard in shards.items():
        found.append(read_facts(shard))
        for problem in shard_problems(found[-1], index, manifest):
            raise DamagedFileError(f"{shard} {problem}")
    return found


def check_failures(
    folder: Path, shards: Sequence[int], facts: Sequence[ShardFacts], manifest: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Read the photographs that could not be labelled, and make sure that no shard lacks any other.

    Args:
        folder: of the label set.
        shards: places of the existing shards.
        facts: what they record about themselves.
        manifest: of the label set.

    Raises:
        DamagedFileError: photographs are neither in a shard nor listed as failed.
    """
    failures = read_failures(folder, manifest)
    failed = Counter(row["shard"] for row in failures)
    wrong = [
        index
        for index, one in zip(shards, facts, strict=True)
        if one.rows + failed[index] != shard_length(manifest, index)
    ]
    if wrong:
        names = ", ".join(f"shard {index}" for index in wrong[:_NAMED])
        raise DamagedFileError(
            f"{folder}: {names}{', ...' if len(wrong) > _NAMED else ''} and {ERRORS} do not hold all "
            f"photographs together: restore {ERRORS}, or delete {'these shards' if len(wrong) > 1 else 'it'} "
            "and run the same labelling again"
        )
    return failures
