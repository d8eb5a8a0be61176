"""Errors and warnings of the command line: one clear line each, and no traceback unless requested."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from fmbseg.cli.streams import BROKEN_PIPE
from fmbseg.escaping import terminal


class FriendlyGroup(TyperGroup):
    """A command group that reports a user's error on one line of stderr, with exit code 1.

    These are ValueError and OSError (a class named twice, a missing file) and errors that fmbseg
    defines itself (such as a missing optional package). Anything else is a bug and
    keeps its traceback. The group's option ``--debug`` keeps every traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the requested command."""
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except BrokenPipeError as error:  # who reads the output has read enough
                raise typer.Exit(BROKEN_PIPE) from error
            except Exception as error:
                told = _as_told(error)
                if ctx.params.get("debug") or told is None:
                    raise
                complain(told)
                raise typer.Exit(1) from error


def complain(problem: object, kind: str = "error") -> None:
    """Print a problem on one line of stderr."""
    if sys.stderr is not None:  # as under pythonw
        # Not by `typer.echo`, which would write past a progress bar into the middle of its line.
        print(f"{kind}: {terminal(' '.join(str(problem).split()))}", file=sys.stderr, flush=True)


def _as_told(error: Exception) -> object | None:
    """What the user is told of an error; None for a bug.

    An error of the system's is told without its number: the file, and what is the matter.
    """
    if not is_for_the_user(error):
        return _lack_of_device(error)
    if isinstance(error, OSError) and error.strerror and str(error).startswith("[Errno"):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return error


def _lack_of_device(error: Exception) -> object | None:
    # Only PyTorch raises them, and it need not be loaded to be asked: typer's Exit is a RuntimeError, too.
    if not isinstance(error, RuntimeError) or "torch" not in sys.modules:
        return None
    from fmbseg.devices import lack_of_device

    return lack_of_device(error)


def is_for_the_user(error: Exception) -> bool:
    """Whether an error is reported on one line: it is caused by the input, not by a bug."""
    return isinstance(error, ValueError | OSError) or type(error).__module__.startswith("fmbseg.")


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    complain(message, "warning")
