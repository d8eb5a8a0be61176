"""Precision and ``torch.compile``, chosen for models that are loaded already.

The first call of what is compiled takes minutes, and says so.
"""

from __future__ import annotations

import sys
import threading
import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from fmbseg.models.loading.precision import Precision, check_precision

if TYPE_CHECKING:
    from collections.abc import Callable


@runtime_checkable
class _Compilable(Protocol):
    def compile(self) -> None: ...


@runtime_checkable
class _HasPrecision(Protocol):
    precision: Precision


@dataclass(frozen=True)
class Speed:
    """What frozen models give up for speed.

    Args:
        precision: that models compute in on accelerators; each keeps its own if ``None``.
        compiled: whether their passes are compiled on first use.

    Raises:
        ValueError: there is no such precision.
    """

    precision: Precision | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision is not None:
            check_precision(self.precision)

    def given(self) -> dict[str, object]:
        """What was asked for, by name, ``None`` where it was not."""
        return {"precision": self.precision, "compiled": self.compiled or None}

    def apply(self, model: Any) -> None:
        """Let a model compute so; one that cannot be compiled is used as it is, with a warning."""
        if self.precision is not None and isinstance(model, _HasPrecision):
            model.precision = self.precision
        if self.compiled and isinstance(model, _Compilable):
            model.compile()
        elif self.compiled:
            warnings.warn(
                f"{model.spec} has no pass that torch.compile takes: it runs as it is", stacklevel=2
            )


def compiled(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Compile a function on its first call, which is told on a line of stderr before and after.

    Args:
        function: a pass of a model.
        what: its name in these lines.
    """
    run = torch.compile(function, dynamic=False)
    lock, warm = threading.Lock(), threading.Event()

    def call(*given: Any, **named: Any) -> Any:
        if warm.is_set():
            return run(*given, **named)
        with lock:  # the compiler is not for two threads at once
            if not warm.is_set():
                _tell(f"compiling {what}: the first photograph takes up to some minutes longer")
                start = perf_counter()
                result = run(*given, **named)
                _tell(f"compiled {what} in {perf_counter() - start:.0f} s")
                warm.set()
                return result
        return run(*given, **named)

    return call


def _tell(line: str) -> None:
    if sys.stderr is not None:  # it is None if a window system started Python
        print(line, file=sys.stderr, flush=True)
