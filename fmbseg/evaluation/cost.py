"""What a call costs: seconds, and by how much memory grows while it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_MEGABYTE = 1e6


class Cost:
    """Measures what runs inside it.

    Attributes:
        seconds: wall-clock time.
        memory_mb: how far the peak of memory lies above what was held before, in MB of 1e6 bytes: of the GPU
            where one is in use, else of the process; None where the system does not tell (it takes Linux).

    Example:
        >>> with Cost() as cost:
        ...     block = bytes(50_000_000)
        >>> cost.seconds > 0
        True
    """

    seconds = 0.0
    memory_mb: float | None = None

    def __enter__(self) -> Cost:
        self._before = _held()
        self._start = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = perf_counter() - self._start
        peak = _peak()
        if self._before is not None and peak is not None:
            self.memory_mb = round(max(0.0, peak - self._before) / _MEGABYTE, 1)


def _cuda() -> bool:
    """Whether a GPU is in use; asks only where PyTorch is loaded."""
    return "torch" in sys.modules and bool(sys.modules["torch"].cuda.is_initialized())


def _held() -> float | None:
    """Bytes that are held now; the peak is counted anew from here on."""
    if _cuda():
        import torch

        torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated())
    try:
        _RESET.write_text("5")  # proc(5): resets the peak of the resident set
    except OSError:
        return None
    return _status("VmRSS")


def _peak() -> float | None:
    if _cuda():
        import torch

        return float(torch.cuda.max_memory_allocated())
    return _status("VmHWM")


def _status(name: str) -> float | None:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith(f"{name}:")]
    return float(found[0][1]) * 1024 if found else None
