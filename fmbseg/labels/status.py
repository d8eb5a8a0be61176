"""How far a label set is, told from its files alone: from any machine, whoever writes it, and meanwhile."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg import storage
from fmbseg.ahead import ordered_map
from fmbseg.files import DamagedFileError
from fmbseg.labels.checks import shard_problems
from fmbseg.labels.claimed import JOURNAL, present
from fmbseg.labels.manifest import MANIFEST, read_manifest, shard_count, shard_length
from fmbseg.labels.place import AT_ONCE, place_of
from fmbseg.labels.shards import read_about
from fmbseg.reasons import Reasons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.labels.place import Place, Remote

RECENT = 3600.0
"""Seconds before the last activity that the rate is measured over."""
_PATIENCE = 3.0  # times the usual pause between two shards, after which a run does not count as active
_AT_LEAST = 120.0  # seconds that any run may be silent


@dataclass(frozen=True)
class LabelStatus:
    """How far a label set is.

    Attributes:
        shards: that are there.
        all_shards: that there will be.
        photographs: in those shards, and in a folder also those of the shard that is being made.
        all_photographs: that there will be.
        failed: photographs that could not be labelled.
        reasons: how often each reason was met.
        damaged: shards that cannot be trusted, and why.
        last: when something was written last, in seconds since 1970; None where the storage does not tell.
        active: whether that is as recent as its pace so far lets one expect of a run that goes on.
        rate: photographs a second in the hour before, where it can be told.
        left: seconds that the rest takes at that rate.
        failures: each photograph that failed with ``shard``, ``path`` and ``error``, if they were asked for.
    """

    shards: int
    all_shards: int
    photographs: int
    all_photographs: int
    failed: int
    reasons: dict[str, int]
    damaged: dict[str, str]
    last: float | None
    active: bool
    rate: float | None
    left: float | None
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether every photograph is in a sound shard."""
        return self.shards == self.all_shards and not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "finished": self.finished}


class _Step(NamedTuple):
    when: float
    photographs: int


def status(place: str | Path | Remote, *, now: float | None = None, failures: bool = False) -> LabelStatus:
    """Tell how far a label set is, which may be written meanwhile.

    Args:
        place: its folder or URI.
        now: seconds since 1970; by default this moment.
        failures: also list every photograph that failed.

    Raises:
        FileNotFoundError: there is no label set.
        DamagedFileError: its manifest was changed since it was written.
        OSError: it cannot be read.

    Example:
        >>> status("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: no/such/folder holds no label set: manifest.json is missing...
    """
    place = place_of(place)
    manifest = read_manifest(place)
    shards = present(place, manifest)
    reasons, damaged, listed = Reasons(), dict[str, str](), list[dict[str, Any]]()

    def read(shard: tuple[int, Place]) -> list[dict[str, Any]] | str:
        index, file = shard
        try:
            facts, failed = read_about(file)
            for problem in shard_problems(facts, index, manifest):
                return problem
            return failed
        except DamagedFileError as error:
            return str(error)

    with closing(ordered_map(read, shards.items(), workers=AT_ONCE)) as found:
        for (index, file), rows in found:
            if isinstance(rows, str):
                damaged[file.name] = rows
                continue
            for row in rows:
                reasons.note(row["path"], row["error"])
                if failures:
                    listed.append({"shard": index, **row})
    begun = _begun(place) if len(shards) < shard_count(manifest) else 0
    done = sum(shard_length(manifest, index) for index in shards) + begun
    steps = _steps(place, shards, manifest, begun)
    count = int(manifest["images"]["count"])
    rate, last = _rate(steps), steps[-1].when if steps else None
    return LabelStatus(
        shards=len(shards),
        all_shards=shard_count(manifest),
        photographs=done,
        all_photographs=count,
        failed=sum(reasons.values()),
        reasons=dict(reasons.most_common()),
        damaged=damaged,
        last=last,
        active=done < count and _is_active(steps, time.time() if now is None else now),
        rate=rate,
        left=(count - done) / rate if rate else None,
        failures=listed,
    )


def _begun(place: Place) -> int:
    """Photographs in the journal of a folder."""
    journal = place / JOURNAL
    if not isinstance(journal, Path) or not journal.is_file():
        return 0
    with journal.open("rb") as lines:
        return sum(line.endswith(b"\n") for line in lines)


def _steps(place: Place, shards: Mapping[int, Place], manifest: Mapping[str, Any], begun: int) -> list[_Step]:
    """What was written when, from the manifest on; nothing where the storage does not tell."""
    counts = {MANIFEST: 0, **{file.name: shard_length(manifest, index) for index, file in shards.items()}}
    if isinstance(place, Path):
        if begun:
            counts[JOURNAL] = begun
        # A journal may go meanwhile.
        times = {name: when for name in counts if (when := _modified(place / name)) is not None}
    else:
        times = storage.modified(place.uri)
    return sorted(_Step(times[name], count) for name, count in counts.items() if name in times)


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _rate(steps: list[_Step]) -> float | None:
    """Photographs a second, over the steps of the hour before the last one."""
    recent = _recent(steps)
    # The first one's photographs were labelled before it was written; the manifest has none.
    seconds = recent[-1].when - recent[0].when if recent else 0.0
    photographs = sum(step.photographs for step in recent[1:])
    return photographs / seconds if seconds > 0 and photographs else None


def _recent(steps: list[_Step]) -> list[_Step]:
    return [step for step in steps if step.when >= steps[-1].when - RECENT]


def _is_active(steps: list[_Step], now: float) -> bool:
    if not steps:
        return False
    recent = _recent(steps)
    pause = (recent[-1].when - recent[0].when) / max(1, len(recent) - 1)
    return now - steps[-1].when <= max(_AT_LEAST, _PATIENCE * pause)
