"""Errors and warnings of the command line: one clear line each, and no traceback unless it is asked for."""

from __future__ import annotations

import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from fmbseg.cli.streams import BROKEN_PIPE
from fmbseg.escaping import terminal


class FriendlyGroup(TyperGroup):
    """A group of commands that ends an error of the user's with one line on stderr and exit code 1.

    Such are ValueError and OSError (a class named twice, a file that is not there) and errors that fmbseg
    itself defines (a package that an extra brings is missing). Anything else is a fault of the program and
    keeps its traceback. The group's option ``--debug`` keeps every traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except BrokenPipeError as error:  # who reads the output has read enough
                raise typer.Exit(BROKEN_PIPE) from error
            except Exception as error:
                if ctx.params.get("debug") or not is_for_the_user(error):
                    raise
                complain(_as_told(error))
                raise typer.Exit(1) from error


def complain(problem: object, kind: str = "error") -> None:
    """Print a problem on stderr, on one line."""
    typer.echo(f"{kind}: {terminal(' '.join(str(problem).split()))}", err=True)


def _as_told(error: Exception) -> object:
    """An error of the system's without its number: the file, and what is the matter."""
    if isinstance(error, OSError) and error.strerror and str(error).startswith("[Errno"):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return error


def is_for_the_user(error: Exception) -> bool:
    """Whether an error is told on one line: it is the input's, not the program's."""
    return isinstance(error, ValueError | OSError) or type(error).__module__.startswith("fmbseg.")


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    complain(message, "warning")
