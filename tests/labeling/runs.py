"""Runs of the labeler in processes of their own, started in no time: a server forks each of them.

Importing torch and loading models takes seconds; a server that has done both is forked instead. It has no
other thread, so that a fork has all that it needs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from fmbseg import PseudoLabeler

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_INS = "stand-ins"
"""Colours and superpixels, quick enough for hundreds of photographs; other names are of mask generators."""

TEACHER = "colour-concepts"
"""A concept model of colours in their place."""

_COLOURS = ["red", "blue", "green", "white"]
_WORDS = {STAND_INS: _COLOURS, TEACHER: _COLOURS}
_REAL_WORDS = ["cat", "coffee mug", "rocket", "person"]


def pictures(folder: Path, count: int, *, bad: int = 0) -> None:
    """Small pictures of coloured boxes; the last ``bad`` of them are not pictures."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    colours = np.array([(255, 0, 0), (0, 0, 255), (0, 255, 0)], np.uint8)
    for index in range(count):
        picture = np.full((32, 40, 3), 255, np.uint8)
        for top, left, colour in random.integers(0, (24, 30, 3), (2, 3)):
            picture[top : top + 12, left : left + 14] = colours[colour]
        Image.fromarray(picture).save(folder / f"{index:04}.png")
    for index in range(count - bad, count):
        (folder / f"{index:04}.png").write_text("no picture")


def make_labeler(models: str) -> PseudoLabeler:
    """Load the stand-ins, the teacher of colours, or ConSE and a mask generator."""
    from fmbseg import PseudoLabeler
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.mask_generators.superpixels import superpixels
    from tests.labeling.colours import ColourEncoder
    from tests.labeling.concepts import ColourConcepts

    if models == TEACHER:
        return PseudoLabeler(teacher=ColourConcepts(semantic=True))
    if models == STAND_INS:
        return PseudoLabeler(
            image_text=ColourEncoder(),
            mask_generator=superpixels(scales=(200.0,)),
            settings=LabelingSettings(short_side=32, min_crops=1, batch_size=4),
        )
    return PseudoLabeler(
        mask_generator=models,
        mask_options={"points_per_side": 3, "threads": 1} if models == "mobilesam" else {},
        settings=LabelingSettings(short_side=224, min_crops=1),
    )


def done(out: Path, shard_size: int = 16) -> int:
    """Photographs that are in shards or in the journal."""
    try:
        lines = (out / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        lines = 0
    return shard_size * len(list(out.glob("shard-*"))) + lines


def die(out: Path, shard_size: int, goal: int, delay: float) -> None:
    """Kill this process a moment after it has got to ``goal`` photographs, or a moment after its start.

    It does so itself, in a thread: on a busy machine another process may get no turn before the run ends.
    """
    while done(out, shard_size) < goal:
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)


def label(
    labeler: PseudoLabeler,
    words: list[str],
    source: str,
    out: str,
    *,
    shard_size: int = 16,
    workers: int = 1,
    killed: tuple[int, float] | None = None,
    **limits: int,
) -> None:
    """Label a folder, as a forked child does; ``killed`` is the goal and the delay of :func:`die`."""
    if killed is not None:
        sys.setswitchinterval(1e-4)  # the thread that kills gets its turn soon, however busy this process is
        Thread(target=die, args=(Path(out), shard_size, *killed), daemon=True).start()
    if "largest_file" in limits:  # stands in for a full disk: writing beyond it fails
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits["largest_file"], resource.RLIM_INFINITY))
    if "user" in limits:
        os.setuid(limits["user"])
    warnings.simplefilter("ignore")
    labeler.label(source, words, out, shard_size=shard_size, workers=workers, progress=False)
    if killed is not None:  # the run was faster than the thread
        os.kill(os.getpid(), signal.SIGKILL)


class Server:
    """Forks runs; use it as a context manager.

    Args:
        models: see :func:`make_labeler`.
    """

    def __init__(self, models: str = STAND_INS) -> None:
        self._models = models

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.labeling.runs", self._models],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, source: Path, out: Path, **options: Any) -> int:
        """Start a run and return its process id."""
        self._say({"source": str(source), "out": str(out), **options})
        return int(self._answer())

    def wait(self) -> dict[str, Any]:
        """Wait for the run to end: ``signal``, ``error`` and the most memory it had, in kB."""
        found: dict[str, Any] = json.loads(self._answer())
        return found

    def run(self, source: Path, out: Path, **options: Any) -> dict[str, Any]:
        """Start a run and wait for its end."""
        self.start(source, out, **options)
        return self.wait()

    def _say(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _child(labeler: PseudoLabeler, words: list[str], request: dict[str, Any], error_to: int) -> None:
    """Run and leave; never return into the server."""
    import torch

    status = 1
    try:
        # On its first use after a fork torch makes its thread pool again. Of two threads at it at once, one
        # finds none ("Invalid thread pool!").
        torch.set_num_threads(1)
        label(labeler, words, request.pop("source"), request.pop("out"), **request)
        status = 0
    except BaseException as error:  # noqa: BLE001 - it is told to the parent
        os.write(error_to, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


def _serve(models: str) -> None:
    import torch

    torch.set_num_threads(1)
    labeler, words = make_labeler(models), _WORDS.get(models, _REAL_WORDS)
    # A run imports much only when it needs it. One before the first fork spares every child that, and one of
    # another user may not be allowed to read the modules.
    with TemporaryDirectory() as folder:
        pictures(Path(folder) / "photographs", 1)
        label(labeler, words, f"{folder}/photographs", f"{folder}/labels")
    print("ready", flush=True)
    for request in _requests():
        read_from, write_to = os.pipe()
        child = os.fork()
        if not child:
            _child(labeler, words, request, write_to)
        os.close(write_to)
        print(child, flush=True)
        with os.fdopen(read_from) as pipe:
            error = pipe.read()
        _, status, usage = os.wait4(child, 0)
        ended = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "error": error,
            "memory": usage.ru_maxrss,
        }
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
