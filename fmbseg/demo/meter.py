"""What each stage costs: seconds and peak memory."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEGABYTE = 1e6


@dataclass
class Cost:
    """The cost of one stage.

    Attributes:
        seconds: wall-clock time, summed over all visits.
        peak_memory_mb: peak memory (1e6 bytes) of the process up to the end of the stage; None
            where the system does not report it.
    """

    seconds: float = 0.0
    peak_memory_mb: float | None = None


class Meter:
    """Measures stages by name; the costs of a stage that is entered again add up.

    Example:
        >>> meter = Meter()
        >>> with meter.stage("label"):
        ...     pass
        >>> list(meter.costs)
        ['label']
    """

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block inside."""
        cost = self.costs.setdefault(name, Cost())
        start = perf_counter()
        try:
            yield
        finally:
            cost.seconds += perf_counter() - start
            cost.peak_memory_mb = peak_memory_mb()


def peak_memory_mb() -> float | None:
    """Peak memory of this process, in MB of 1e6 bytes; None on systems without ``getrusage``."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return peak * unit / _MEGABYTE
