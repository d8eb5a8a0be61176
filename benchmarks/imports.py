"""What it takes to start: fresh processes that import fmbseg or show its help, beside bare ones.

``python -m benchmarks.imports`` starts processes in turn, ``--rounds`` of each kind after one that fills the
disk's cache: Python alone, numpy and torch, which nobody who uses them can avoid, and what fmbseg adds to
them. ``--before DIR`` takes another checkout (``git worktree add DIR COMMIT``) into the same turns.

``starts`` has the median seconds of each kind, by the clock and of the processor, and ``ratio``, the
processor time over that of the bare process ``over`` in the same round (median and middle half);
``now_over_before`` has the same of this checkout over the other. The last line on standard output is one JSON
object.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.output import measured_with, tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parents[1]
BARE = {"python": "pass", "numpy": "import numpy", "torch": "import torch"}


class Start(NamedTuple):
    """A way to start fmbseg.

    Attributes:
        code: that a fresh process runs.
        over: the bare process that it is compared with.
    """

    code: str
    over: str


class Took(NamedTuple):
    """Seconds of a process, by the clock and of the processor."""

    wall: float
    processor: float


def _command(*words: str) -> str:
    return f"import sys; sys.argv = {['fmbseg', *words]}; from fmbseg.cli.main import main; main()"


STARTS = {
    "import fmbseg": Start("import fmbseg", "python"),
    "fmbseg --help": Start(_command("--help"), "numpy"),
    "fmbseg label --help": Start(_command("label", "--help"), "numpy"),
    "from fmbseg import OpenVocabSegmenter": Start("from fmbseg import OpenVocabSegmenter", "torch"),
}


def took(code: str, checkout: Path) -> Took:
    """Run code in a fresh process that finds the packages of a checkout first.

    Raises:
        subprocess.CalledProcessError: the code failed; its last words stand above.
    """
    command = [sys.executable, "-c", code]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(command, cwd=checkout, stdout=subprocess.DEVNULL, check=True)  # `-c` looks there first
    wall, after = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def ratio(ours: Iterable[Took], theirs: Iterable[Took]) -> dict[str, Any]:
    """Processor time of one over the other, round by round: the median and the middle half.

    Example:
        >>> ratio([Took(9, 2.0), Took(9, 3.0), Took(9, 4.0)], [Took(9, 1.0), Took(9, 1.0), Took(9, 1.0)])
        {'ratio': 3.0, 'middle_half': [2.5, 3.5]}
    """
    ratios = [one.processor / other.processor for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return {"ratio": round(float(middle), 3), "middle_half": [round(float(low), 3), round(float(high), 3)]}


def measure(rounds: int, before: Path | None) -> dict[str, Any]:
    """Start all kinds in turn, and compare them."""
    kinds = {name: (code, ROOT) for name, code in BARE.items()}
    kinds |= {name: (start.code, ROOT) for name, start in STARTS.items()}
    if before is not None:
        kinds |= {f"{name}, before": (start.code, before) for name, start in STARTS.items()}
    found: dict[str, list[Took]] = {name: [] for name in kinds}
    for number in range(rounds + 1):
        for name in kinds if number % 2 else reversed(kinds):
            seconds = took(*kinds[name])
            if number:  # the first round fills the disk's cache
                found[name].append(seconds)
    starts: dict[str, dict[str, Any]] = {
        name: {
            "wall": round(median(one.wall for one in turns), 3),
            "processor": round(median(one.processor for one in turns), 3),
        }
        for name, turns in found.items()
    }
    for name, start in STARTS.items():
        starts[name] |= {"over": start.over, **ratio(found[name], found[start.over])}
    result: dict[str, Any] = {"starts": starts}
    if before is not None:
        result["now_over_before"] = {name: ratio(found[name], found[f"{name}, before"]) for name in STARTS}
    return result


def commit_of(checkout: Path) -> str:
    """The commit that a checkout shows, or its folder's name where git knows none."""
    ask = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or checkout.name


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="processes of each kind")
    parser.add_argument("--before", type=Path, help="another checkout, to be measured in the same turns")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args(command)
    before = options.before and options.before.resolve()
    result = {
        "benchmark": "imports",
        **measure(options.rounds, before),
        **({"before": commit_of(before)} if before else {}),
        "rounds": options.rounds,
        **measured_with("torch", "numpy", "typer"),
    }
    tell(result, options.out)
    return result


if __name__ == "__main__":
    main()
