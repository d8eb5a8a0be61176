"""Standard output and error as they come: of any encoding, and closed at any time by who reads them."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

BROKEN_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended, 128 + 13."""


@contextmanager
def any_streams() -> Iterator[None]:
    """Let output end neither in an error of encoding nor in one of a pipe that nobody reads any more.

    Characters that a stream's encoding does not hold are replaced. Where ``| head`` has read enough, the run
    ends without a word, with exit code :data:`BROKEN_PIPE`.
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


def _send_the_rest_nowhere() -> None:
    """So that the interpreter, which flushes at its end, does not fail once more."""
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
