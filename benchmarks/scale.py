"""What a run on many machines costs the process that asks for it, and how well two processes share two cores.

``python -m benchmarks.scale`` labels simulated photographs on Ray on this machine. Everything is as in
``label(..., engine="ray")``, the listing, the manifest, the units and their retries, but for the labeler: a
stand-in spins for a fixed time a photograph, and writes nothing.

- driver_gb: most memory of the process that asks, at the largest size, the listing of all keys included.
  ``growth_mb`` is what it grew by between a tenth and the end of that run.
- exponent: of the processor time of that process, as the size grows; 1 is linear. ``wall_exponent`` is that
  of the time on the clock.
- overhead: processor time a photograph, in seconds, of that process and of the workers together, beyond
  that of the same work in one process.
- efficiency: photographs a second of two processes on a core each that label with real models, loaded before,
  over twice those of one process on one core: the median of alternating rounds, with its 90 % interval.
  ``without_others`` leaves out the time in which a worker was ready and something else had its core (on a
  machine that does other work as well, ``efficiency`` says little); ``processor_ratio`` is the processor time
  of two over that of one: above 1, they are in each other's way.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks.output import measured_with, tell
from fmbseg import PseudoLabeler, Vocabulary
from fmbseg.engines.crew import Crew
from fmbseg.engines.engine import OnRay
from fmbseg.engines.processes import ProcessTeam, environments_of
from fmbseg.engines.watch import Watch
from fmbseg.labeling.look_ahead import planned
from fmbseg.labeling.on_engine import EngineRun, label_on
from fmbseg.labeling.shard_work import Described, Labelled, LabelWork, Shard
from fmbseg.labels.claimed import Claimed
from fmbseg.reasons import Reasons
from fmbseg.sources.key_list import KeyList
from fmbseg.sources.opened import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.labels.place import Place
    from fmbseg.sources.contract import Source

SHARD = 1000
_WORDS = ["cat", "coffee mug", "rocket", "person"]
_ORIGIN = {"models": {"image_text": "stand-in", "mask_generator": "stand-in"}, "settings": {}}


class Simulated:
    """So many photographs that are nowhere.

    Args:
        count: how many.
    """

    root = "/simulated"

    def __init__(self, count: int) -> None:
        self._count = count
        self._keys: KeyList | None = KeyList.of(f"{one // SHARD:06}/{one:09}.jpg" for one in range(count))

    def __getstate__(self) -> dict[str, Any]:
        return {"_count": self._count, "_keys": None}  # as every source, without its listing

    def keys(self) -> KeyList:
        """Made up."""
        assert self._keys is not None
        return self._keys

    def sizes(self) -> Sequence[int]:
        """All equal."""
        return np.broadcast_to(np.int64(100_000), self._count)  # type: ignore[return-value]

    def read(self, key: str) -> bytes:
        """Never asked."""
        raise NotImplementedError(key)

    def told(self) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True)
class StandIn:
    """In the place of :class:`LabelWork`: spins.

    Args:
        make_labeler: ignored, as are those that follow, but for ``out``.
        photographs: simulated.
        vocabulary: none of its concern.
        count: of all photographs.
        out: folder in whose ``cpu`` it notes the processor time of its process.
        workers: one.
    """

    make_labeler: Callable[[], Any]
    photographs: Source
    vocabulary: Vocabulary
    count: int
    out: Place
    workers: int

    def work(self, unit: Shard | None, tell: Callable[[int], None]) -> Described | Labelled:
        """Spin for each photograph, and tell of them as labelling does."""
        if unit is None:
            return Described(_ORIGIN, None, ())
        cost = float(os.environ["FMBSEG_SCALE_COST"])
        for _ in unit.paths:
            end = time.perf_counter() + cost
            while time.perf_counter() < end:
                pass
            tell(1)
        return Labelled(len(unit.paths), Reasons())


class Spinning(StandIn):
    """The worker itself, which notes what its process has used."""

    def __call__(self, *given: Any) -> Any:
        """Make the worker, or work."""
        if not given:
            self._note("start")
            return self
        done = self.work(*given)
        self._note("end")
        return done

    def _note(self, when: str) -> None:
        place = Path(str(self.out)).parent / "cpu" / f"{os.getpid()}-{when}"
        place.write_text(str(time.process_time()), encoding="utf-8")


def on_ray(shards: int, workers: int) -> dict[str, float]:
    """Label so many shards on Ray; seconds on the clock and of processor time, and megabytes."""
    rss: list[float] = []
    with TemporaryDirectory() as name, patch("fmbseg.labeling.on_engine.LabelWork", Spinning):
        folder = Path(name)
        (folder / "cpu").mkdir()
        source = Simulated(shards * SHARD)
        run = EngineRun(source, Vocabulary.of(_WORDS), folder / "out", None, SHARD, None, 1)
        given = {"image_text": "stand-in", "mask_generator": "stand-in"}
        wall, used = time.perf_counter(), time.process_time()
        with _watched(rss, shards):
            label_on(OnRay((workers, workers), 0, 1), PseudoLabeler, given, run, shown=False)
        wall, used = time.perf_counter() - wall, time.process_time() - used
        notes = {path.name: float(path.read_text(encoding="utf-8")) for path in (folder / "cpu").iterdir()}
    theirs = sum(value for name, value in notes.items() if name.endswith("end")) - sum(
        value for name, value in notes.items() if name.endswith("start")
    )
    return {
        "wall": wall,
        "driver_seconds": used,
        "worker_seconds": theirs,
        "rss_mb": max(rss),
        "growth_mb": rss[-1] - rss[len(rss) // 10],
    }


def _watched(rss: list[float], shards: int) -> Any:
    """Note the memory of this process as shards come back, about a hundred times."""
    plain, every, seen = Watch.done, max(1, shards // 100), [0]

    def done(self: Watch, photographs: int, failures: Reasons | None = None) -> None:
        seen[0] += 1
        if seen[0] % every == 0:
            rss.append(_resident_mb())
        plain(self, photographs, failures)

    return patch.object(Watch, "done", done)


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux: the most that it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return pages * resource.getpagesize() / 1e6


def in_one_process(shards: int) -> float:
    """Processor time of the same work without an engine, in seconds a photograph."""
    work = StandIn(PseudoLabeler, Simulated(SHARD), Vocabulary.of(_WORDS), SHARD, Path(), 1)
    used = time.process_time()
    for index in range(shards):
        unit = Shard(index, "", tuple(map(str, range(SHARD))), (None,) * SHARD)
        work.work(unit, lambda _: None)
    return (time.process_time() - used) / (shards * SHARD)


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of the size that time grows with, by least squares on logarithms.

    Example:
        >>> round(exponent([1, 10, 100], [2.0, 20.0, 200.0]), 3)
        1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def efficiency(photographs: int, rounds: int, models: Sequence[str]) -> dict[str, Any]:
    """Photographs a second of two processes on two cores over twice those of one process on one core."""
    given: dict[str, Any] = dict(zip(("recipe", "mask_generator"), models, strict=True))
    with TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        for index in range(photographs):
            small = random.integers(0, 256, (12, 16, 3), np.uint8)
            Image.fromarray(small).resize((320, 240)).save(folder / f"{index:04}.png")
        source = open_source(folder)
        words = Vocabulary.of(_WORDS)
        work = LabelWork(partial(PseudoLabeler, **given), source, words, photographs, folder / "out", 1)
        teams = [ProcessTeam(work, count, environments_of(2, "cpu", 0)[:count]) for count in (1, 2)]
        with Crew(teams[0]) as one, Crew(teams[1]) as two:
            ((_, described),) = one.map([None])
            list(two.map([None, None]))
            manifest = planned(described.origin, words, source, folder / "out", None, 1).manifest
            with Claimed(folder / "out", manifest) as claimed:
                units = [
                    Shard(index, claimed.manifest["hash"], (source.keys()[index],), (None,))
                    for index in range(photographs)
                ]
                for crew in (one, two):
                    list(crew.map(units[:4]))  # what is done once
                spent = []
                for _ in range(rounds):
                    spent.append([_spent(*pair, units) for pair in zip(teams, (one, two), strict=True)])
                    print(*spent[-1], file=sys.stderr, flush=True)
    walls = [a.wall / b.wall / 2 for a, b in spent]
    own = [(a.wall - a.queued) / (b.wall - b.queued) / 2 for a, b in spent]
    return {
        "efficiency": _with_interval(walls),
        "without_others": _with_interval(own),
        "processor_ratio": _with_interval([b.used / a.used for a, b in spent]),
        "queued_seconds": [[round(one.queued, 2) for one in pair] for pair in spent],
        "seconds": [[round(one.wall, 2) for one in pair] for pair in spent],
        "load": round(os.getloadavg()[1], 2),
        "rounds": rounds,
        "labelled": photographs,
    }


class Spent(NamedTuple):
    """What labelling took.

    Attributes:
        wall: seconds on the clock.
        used: seconds of processor time, of all workers.
        queued: seconds that a worker was ready and had no core, because something else ran on it; of the
            worker that had to wait longest. Each computes on one thread.
    """

    wall: float
    used: float
    queued: float


def _spent(team: ProcessTeam, crew: Crew, units: Sequence[Shard]) -> Spent:
    pids = team.pids()
    before, started = [_scheduled(pid) for pid in pids], time.perf_counter()
    list(crew.map(units))
    wall, after = time.perf_counter() - started, [_scheduled(pid) for pid in pids]
    used, queued = (np.array(after) - np.array(before)).T
    return Spent(wall, float(used.sum()), float(queued.max()))


def _scheduled(pid: int) -> tuple[float, float]:
    """Seconds that the threads of a process ran, and that they waited for a core (Linux)."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    told = [path.read_text(encoding="ascii").split() for path in threads]
    return sum(int(ran) for ran, _, _ in told) / 1e9, sum(int(queued) for _, queued, _ in told) / 1e9


def _with_interval(ratios: Sequence[float]) -> dict[str, float]:
    """The median over rounds, and its 90 % interval, rounds drawn anew."""
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.05, 0.95))
    return {"value": round(median(ratios), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--shards",
        type=int,
        nargs="*",
        default=[1000, 3000, 10_000],
        help="sizes, ascending; none leaves all but the efficiency out",
    )
    parser.add_argument(
        "--cost", type=float, default=5e-6, help="seconds that the stand-in takes a photograph"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--photographs", type=int, default=24, help="for the efficiency; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=5, help="of the efficiency")
    parser.add_argument(
        "--models", nargs=2, default=["offline", "superpixels"], help="recipe, mask generator"
    )
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    given = parser.parse_args(arguments)
    os.environ["FMBSEG_SCALE_COST"] = str(given.cost)
    result = {
        "benchmark": "scale",
        "settings": {"cost": given.cost, "workers": given.workers, "models": given.models},
        **measured_with("ray", "torch"),
    }
    if given.shards:
        result |= scale(given.shards, given.workers)
    if given.photographs:
        result |= efficiency(given.photographs, given.rounds, given.models)
    tell(result, given.out)


def scale(sizes: Sequence[int], workers: int) -> dict[str, Any]:
    """What runs of so many shards cost the process that asks."""
    import ray

    plain = in_one_process(max(1, sizes[0] // 10))
    own = not ray.is_initialized()
    if own:
        os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # memory that others fill kills no worker
        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    runs = [on_ray(shards, workers) for shards in sizes]
    if own:
        ray.shutdown()
    last, photographs = runs[-1], sizes[-1] * SHARD
    spent = (last["driver_seconds"] + last["worker_seconds"]) / photographs
    return {
        "photographs": photographs,
        "shards": list(sizes),
        "runs": [{name: round(value, 3) for name, value in run.items()} for run in runs],
        "overhead": float(f"{spent - plain:.3g}"),
        "driver_gb": round(last["rss_mb"] / 1000, 3),
        "growth_mb": round(last["growth_mb"], 1),
        "exponent": round(exponent(sizes, [run["driver_seconds"] for run in runs]), 3),
        "wall_exponent": round(exponent(sizes, [run["wall"] for run in runs]), 3),
    }


if __name__ == "__main__":
    main()
