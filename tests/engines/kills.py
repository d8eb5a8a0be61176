"""Kill nodes, workers and the driver of a run on a real cluster, and compare the labels with one process's.

python -m tests.engines.kills --photographs 200 --kills 10
python -m tests.engines.kills --photographs 16 --kills 3 --recipe offline
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.engines.cluster import Nodes, happening, shards
from tests.labeling.runs import pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg import LabelSet, PseudoLabeler

COLOURS = ["red", "blue", "green", "white"]
WORDS = {"": COLOURS, "offline": ["cat", "coffee mug", "rocket", "person"]}


def labeler_of(recipe: str, seconds: float) -> PseudoLabeler:
    """A labeler of colours that takes so many seconds a photograph, or that of a recipe."""
    from fmbseg import PseudoLabeler
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.mask_generators.superpixels import superpixels
    from tests.engines.slow_colours import SlowColours

    if recipe:
        return PseudoLabeler(recipe, mask_generator="superpixels")
    return PseudoLabeler(
        image_text=SlowColours(seconds),
        mask_generator=superpixels(scales=(200.0,)),
        settings=LabelingSettings(short_side=32, min_crops=1, batch_size=4),
    )


@dataclass(frozen=True)
class Run:
    """What is labelled, wherever.

    Args:
        source: folder of photographs, or URI.
        shard: photographs of a shard.
        recipe: empty for the colours.
        seconds: that the colours take a photograph, on Ray.
    """

    source: Path | str
    shard: int
    recipe: str = ""
    seconds: float = 0.0

    def label(self, out: Path | str, **engine: Any) -> LabelSet:
        """Label, on Ray where an address is given, else in this process."""
        from fmbseg.engines.engine import OnRay

        labeler = labeler_of(self.recipe, self.seconds if engine else 0.0)
        on, words = OnRay(gpus=0, **engine) if engine else None, WORDS[self.recipe]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return labeler.label(self.source, words, out, shard_size=self.shard, engine=on, progress=False)

    def through(self, nodes: Nodes, out: Path, events: Sequence[tuple[int, Callable[[], None]]]) -> list[int]:
        """Label on the cluster while something is killed; how many shards there were each time."""
        with happening(out, events) as seen:
            self.label(out, address=nodes.address, workers=(1, nodes.count))
        return seen

    def through_the_drivers_death(self, nodes: Nodes, out: Path, goal: int) -> int:
        """Kill a driver once there are so many shards, and start again; how many there were."""
        code = (
            "from pathlib import PosixPath, Path\nfrom tests.engines.kills import Run\n"
            f"{self!r}.label({out!r}, address={nodes.address!r}, workers=(1, 2))"
        )
        process = subprocess.Popen([sys.executable, "-c", code])
        while shards(out) < goal and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run had ended before"
        there = shards(out)
        self.label(out, address=nodes.address, workers=(1, 2))
        return there


def files(out: Path) -> dict[str, bytes]:
    """All that a label set is."""
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def main(argv: Sequence[str] | None = None) -> None:
    """Kill at every moment in turn, each in a run of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--recipe", default="", help="in place of the colours and superpixels")
    parser.add_argument("--source", type=Path, help="folder of photographs, in place of drawn ones")
    parser.add_argument("--shard-size", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05, help="that a photograph of colours takes")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = asked.source or folder / "photographs"
        if asked.source is None:
            pictures(source, asked.photographs, bad=3)
        _matrix(folder, Run(source, asked.shard_size, asked.recipe, asked.seconds), asked.kills)


def _matrix(folder: Path, run: Run, kills: int) -> None:
    whole = folder / "whole"
    labels, count = run.label(whole), shards(whole)
    print(f"one process: {len(labels)} labelled, {len(labels.errors)} not, {count} shards", flush=True)
    nodes = Nodes()

    def tell(what: str, seen: object, out: Path) -> None:
        assert files(out) == files(whole), f"{out} differs"
        print(f"{what} killed after {seen} of {count} shards: byte-identical", flush=True)

    try:
        for number in range(kills):
            out, goal = folder / f"node-{number}", number * (count - 3) // kills
            nodes.fill()
            tell("a node", run.through(nodes, out, [(goal, nodes.kill)]), out)
        nodes.fill()
        out = folder / "worker"
        tell("a worker", run.through(nodes, out, [(count // 3, nodes.kill_a_worker)]), out)
        out = folder / "driver"
        tell("the driver", run.through_the_drivers_death(nodes, out, count // 2), out)
    finally:
        nodes.close()


if __name__ == "__main__":
    main()
