"""Work for workers that need no model: what a unit asks for is done to the process itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Squares:
    """Squares numbers, and notes each unit that is begun in a folder.

    Args:
        log: the folder.
        deadly: units that kill their process.
        once: whether they do so the first time alone.
        bad: units that raise an error.
        unfit: what making the worker fails with; empty for nothing.
        seconds: that a unit takes.
    """

    log: Path
    deadly: tuple[int, ...] = ()
    once: bool = True
    bad: tuple[int, ...] = ()
    unfit: str = ""
    seconds: float = 0.0

    def __call__(self) -> Callable[[int, Callable[[int], None]], dict[str, Any]]:
        if self.unfit == "exit":
            os._exit(3)
        if self.unfit:
            raise ValueError(self.unfit)
        (self.log / f"made-{os.getpid()}").touch()
        return self._work

    def _work(self, unit: int, tell: Callable[[int], None]) -> dict[str, Any]:
        earlier = len(list(self.log.glob(f"unit-{unit}-*")))
        (self.log / f"unit-{unit}-{os.getpid()}-{earlier}").touch()
        print("a library prints", unit)  # must not disturb
        sys.stdout.flush()
        tell(1)
        if unit in self.deadly and not (self.once and earlier):
            os.kill(os.getpid(), signal.SIGKILL)
        if unit in self.bad:
            raise ValueError(f"unit {unit} is bad")
        time.sleep(self.seconds)
        return {
            "square": unit * unit,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }

    def tries(self, unit: int) -> int:
        """How often a unit was begun."""
        return len(list(self.log.glob(f"unit-{unit}-*")))

    def workers_of(self, unit: int) -> list[str]:
        """The processes that began it."""
        return [path.name.split("-")[2] for path in self.log.glob(f"unit-{unit}-*")]
