"""Standard output and error in any encoding, and closed by their reader at any time."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.table import Table

BROKEN_PIPE = 141
"""The exit code that a shell shows for a program ended by SIGPIPE, 128 + 13."""


@contextmanager
def any_streams() -> Iterator[None]:
    """Keep encoding errors and closed pipes from ending the run with a traceback.

    Characters that a stream cannot encode are replaced. Where ``| head`` has read enough, the run
    ends quietly with exit code :data:`BROKEN_PIPE`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # as under pythonw
                    stream.flush()
    except BrokenPipeError:
        _send_the_rest_nowhere()
        raise SystemExit(BROKEN_PIPE) from None


def print_table(table: Table) -> None:
    """Print a table on standard output; rich itself would end the run with 1 where that is closed."""
    import typer
    from rich.console import Console

    console = Console()
    with console.capture() as text:
        console.print(table)
    for line in text.get().splitlines():  # one by one, for a single write may end half done without an error
        typer.echo(line)


def _send_the_rest_nowhere() -> None:
    """So that the interpreter's final flush does not fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if _is_broken(stream):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_broken(stream: TextIO) -> bool:
    try:
        stream.flush()
    except BrokenPipeError:
        return True
    return False
