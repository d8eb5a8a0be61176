"""How long `fmbseg app` takes to its first answer, and a change of words; whether its memory grows.

    python -m benchmarks.app --out benchmarks/results/app.json

- ``start``: seconds from the command to the page, its head loaded; the first answer takes ``small`` more,
  that of the packaged cat, 451 x 300 pixels, with what only the first photograph waits for;
- ``first``, ``words``, ``threshold``: seconds of the first answer, of one to other words, and to another
  certainty, on a photograph of 12 megapixels (the packaged cat, enlarged), each by the clock and by the
  processor, words and first taken in turn; ``ratio`` is words over first, by the processor;
- ``memory_mb``: of the process after 20 and after ``--count`` segmentations with changing words and
  photographs, and ``growth_kb`` of each segmentation between them.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch
from PIL import Image

from benchmarks.output import measured_with, tell
from fmbseg.app.place import Folders, Place
from fmbseg.app.segment_tab import SegmentTab, Visit
from fmbseg.app.segmenting import EXAMPLE_WORDS, OpenPhotograph, Question, answer, examples
from fmbseg.app.viewer import view_of
from fmbseg.app.widgets import gr
from fmbseg.methods import ModelPool

WORDS = (
    ("cat", "dog", "sofa"),
    ("kitten", "lawn", "eye"),
    ("tiger", "grass", "nose"),
    ("cat", "wall", "table"),
)
METHOD = "offline@offline"


def seconds_of(work: Any) -> tuple[float, float]:
    """By the clock and by the processor."""
    clock, processor = perf_counter(), process_time()
    work()
    return perf_counter() - clock, process_time() - processor


def start_to_page() -> float:
    """Seconds from the command to the page's first byte."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as work:
        code = "from fmbseg.cli.main import main; main()"
        options = ["app", "--work", work, "--port", str(port), "--device", "cpu"]
        begun = perf_counter()
        with subprocess.Popen([sys.executable, "-c", code, *options], stdout=subprocess.DEVNULL) as process:
            while True:
                try:
                    with urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
                        page.read()
                    break
                except OSError:
                    time.sleep(0.1)
            took = perf_counter() - begun
            process.terminate()
    return took


def enlarged(name: str) -> OpenPhotograph:
    """A photograph of 12 megapixels."""
    with Image.open(examples()[name]) as opened:
        image = np.asarray(opened.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "large.jpg"
        Image.fromarray(image).save(path, quality=92)
        return OpenPhotograph.read(path, "large.jpg")


def latency(place: Place, turns: int) -> dict[str, Any]:
    """Of the first answer and of what follows it, in turn."""
    first, words, threshold = [], [], []
    for turn in range(turns + 1):
        photograph = enlarged("cat.png")  # a new array: nothing is known of it
        asked = [Question(one, METHOD) for one in WORDS]

        def show(question: Question, of: OpenPhotograph = photograph) -> None:
            view_of(answer(place, of, question))

        took = [seconds_of(lambda: show(asked[0]))]  # noqa: B023 - called at once
        took += [seconds_of(lambda: show(one)) for one in asked[1:]]  # noqa: B023 - called at once
        changed = Question(WORDS[-1], METHOD, certainty=0.6)
        last = seconds_of(lambda: show(changed))  # noqa: B023 - called at once
        if turn:  # the models are loaded in turn 0
            first.append(took[0])
            words += took[1:]
            threshold.append(last)
    ratios = sorted(fmean(one[1] for one in words[3 * at : 3 * at + 3]) / first[at][1] for at in range(turns))
    return {
        "first": _told(first),
        "words": _told(words),
        "threshold": _told(threshold),
        "ratio": {
            "median": round(median(ratios), 3),
            "least": round(ratios[0], 3),
            "most": round(ratios[-1], 3),
        },
    }


def small(place: Place) -> tuple[float, float]:
    """The first answer of all."""
    path = examples()["cat.png"]
    return seconds_of(lambda: answer(place, OpenPhotograph.read(path, path.name), Question(WORDS[0], METHOD)))


def _told(taken: list[tuple[float, float]]) -> dict[str, float]:
    clock, processor = zip(*taken, strict=True)
    return {
        "clock": round(median(clock), 2),
        "processor": round(median(processor), 2),
        "most_clock": round(max(clock), 2),
    }


def memory(place: Place, count: int, *, after: int = 20) -> dict[str, Any]:
    """Of this process, with photographs and words that change."""
    with gr.Blocks(analytics_enabled=False):
        tab = SegmentTab(place)
    visit, paths = Visit(), list(examples().items())
    taken: dict[int, float] = {}
    for number in range(1, count + 1):
        name, path = paths[number // 5 % len(paths)]
        if number % 5 == 1:
            tab._take(visit, path, name, name)
        words = [*EXAMPLE_WORDS[name][:2], f"thing {number}"]
        tab.run(visit, None, words, "offline (packaged head)", 0.4, "common scene words", 0.2)
        if number in (after, count):
            gc.collect()
            taken[number] = resident()
    grown = (taken[count] - taken[after]) / (count - after)
    return {
        "after": {str(key): round(value, 1) for key, value in taken.items()},
        "growth_kb": round(grown * 1024, 1),
    }


def resident() -> float:
    """Megabytes of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    started = start_to_page()
    with TemporaryDirectory() as work:
        place = Place(Folders([]), Path(work), ModelPool(device="cpu"), "offline")
        clock, processor = small(place)
        found = {
            "start": round(started, 1),
            "small": {"clock": round(clock, 2), "processor": round(processor, 2)},
            "12 megapixels": latency(place, options.turns),
            "memory_mb": memory(place, options.count),
            "turns": options.turns,
            "threads": torch.get_num_threads(),
            **measured_with("torch", "gradio", "numpy"),
        }
    tell(found, options.out)


if __name__ == "__main__":
    main()
