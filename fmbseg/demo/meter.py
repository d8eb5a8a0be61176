"""What each stage costs: seconds, and the most memory that the process has had."""

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
    """Of one stage.

    Attributes:
        seconds: of wall clock, all its visits together.
        peak_memory_mb: the most memory (1e6 bytes) the process ever held up to the end of the stage; None
            where the system does not tell.
    """

    seconds: float = 0.0
    peak_memory_mb: float | None = None


class Meter:
    """Measures stages by name; a stage may be entered again and adds up.

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
        """Measure what is done inside."""
        cost = self.costs.setdefault(name, Cost())
        start = perf_counter()
        try:
            yield
        finally:
            cost.seconds += perf_counter() - start
            cost.peak_memory_mb = peak_memory_mb()


def peak_memory_mb() -> float | None:
    """The most memory this process has held, in MB of 1e6 bytes; None on systems without ``getrusage``."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return peak * unit / _MEGABYTE
