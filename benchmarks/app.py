"""How long `fmbseg app` takes to its first answer, and a change of words; whether its memory grows.

    python -m benchmarks.app --out benchmarks/results/app.json
    python -m benchmarks.app --memory --out benchmarks/results/app_memory.json

- ``start``: seconds from the command to the page, its head loaded; the first answer takes ``small`` more,
  that of the packaged cat, 451 x 300 pixels, with what only the first photograph waits for;
- ``first``, ``words``, ``threshold``: seconds of the first answer, of one to other words, and to another
  certainty, on a photograph of 12 megapixels (the packaged cat, enlarged), each by the clock and by the
  processor, words and first taken in turn; ``ratio`` is words over first, by the processor;
- ``memory_mb``: of the process of ``fmbseg app``, asked over HTTP as a browser asks, after each 20 of
  ``--count`` segmentations with changing words and photographs; ``growth_kb`` of each segmentation after
  ``growth_after``, by the straight line that fits best.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from secrets import token_hex
from statistics import fmean, median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import torch
from PIL import Image

from benchmarks.output import measured_with, tell
from fmbseg.app.freed import give_back_freed_memory
from fmbseg.app.place import Folders, Place
from fmbseg.app.segmenting import EXAMPLE_WORDS, OpenPhotograph, Question, answer, examples
from fmbseg.app.viewer import view_of
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


class RunningApp:
    """``fmbseg app`` in a process of its own, asked as a browser asks.

    Attributes:
        started: seconds from the command to the page's first byte.
    """

    def __enter__(self) -> RunningApp:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._work = TemporaryDirectory()
        self._url = f"http://127.0.0.1:{port}/"
        code = "from fmbseg.cli.main import main; main()"
        options = ["app", "--work", self._work.name, "--port", str(port), "--device", "cpu"]
        begun = perf_counter()
        self._process = subprocess.Popen([sys.executable, "-c", code, *options], stdout=subprocess.DEVNULL)
        while True:
            try:
                self._get("")
                break
            except OSError:
                time.sleep(0.1)
        self.started = perf_counter() - begun
        self._session = token_hex(8)
        self._page = json.loads(self._get("config"))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._work.cleanup()

    def _get(self, path: str) -> bytes:
        with urlopen(self._url + path, timeout=600) as answer:
            return bytes(answer.read())

    def does(self, component: str, event: str, outputs: int) -> int:
        """The number of what the page does on an event of a component, with so many outputs."""
        ids = {one["props"].get("elem_id"): one["id"] for one in self._page["components"]}
        found = (
            one["id"]
            for one in self._page["dependencies"]
            if [ids[component], event] in one["targets"] and len(one["outputs"]) == outputs
        )
        return int(next(found))

    def ask(self, number: int, data: list[Any], **more: Any) -> list[Any]:
        """Have the page do something, and return what it shows."""
        told = {"data": data, "fn_index": number, "session_hash": self._session, **more}
        kind = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self._url}gradio_api/queue/join", json.dumps(told).encode(), kind)) as joined:
            joined.read()
        lines = self._get(f"gradio_api/queue/data?session_hash={self._session}").splitlines()
        heard = [json.loads(line[5:]) for line in lines if line.startswith(b"data:")]
        done = next(one for one in heard if one["msg"] == "process_completed")
        if not done["success"]:
            raise RuntimeError(f"the page answered {done['output']}")
        shown: list[Any] = done["output"]["data"]
        return shown

    def resident(self) -> float:
        """Megabytes of the process."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


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


def memory(app: RunningApp, count: int, *, every: int = 20, after: int = 40) -> dict[str, Any]:
    """Of the page's process, with photographs and words that change."""
    take, run = app.does("segment-examples", "select", 2), app.does("segment-words", "change", 5)
    asked = ["offline (packaged head)", 0.4, "common scene words", 0.2]
    words: list[str] = []
    taken: dict[int, float] = {}
    for number in range(1, count + 1):
        if number % 5 == 1:
            which = {"index": number // 5 % len(EXAMPLE_WORDS), "value": None, "selected": True}
            words = app.ask(take, [None], event_data=which)[0][:2]
        if not app.ask(run, [None, None, [*words, f"thing {number}"], *asked])[0]:
            raise RuntimeError("nothing was segmented")
        if number % every == 0:
            taken[number] = app.resident()
    later = [(number, value) for number, value in taken.items() if number >= after]
    numbers, values = np.array(later).T
    slope = float(np.polyfit(numbers, values, 1)[0])
    return {
        "after": {str(key): round(value, 1) for key, value in taken.items()},
        "growth_kb": round(1024 * slope, 1),
        "growth_after": after,
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--memory", action="store_true", help="memory alone, which takes no quiet machine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with RunningApp() as app:
        if options.memory:
            grown = memory(app, options.count)
            tell({"memory_mb": grown, **measured_with("torch", "gradio", "numpy")}, options.out)
            return
        started = app.started
    give_back_freed_memory()  # as the command does
    with TemporaryDirectory() as work:
        place = Place(Folders([]), Path(work), ModelPool(device="cpu"), "offline")
        clock, processor = small(place)
        found = {
            "start": round(started, 1),
            "small": {"clock": round(clock, 2), "processor": round(processor, 2)},
            "12 megapixels": latency(place, options.turns),
            "turns": options.turns,
            "threads": torch.get_num_threads(),
            **measured_with("torch", "gradio", "numpy"),
        }
    tell(found, options.out)


if __name__ == "__main__":
    main()
