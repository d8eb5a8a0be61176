"""A worker in a process of its own: ``python -m fmbseg.engines.process_worker``; started by ``processes``.

It reads what to do from standard input and answers on standard output; what it prints goes to standard error.
It ends at once when its standard input does, so that nothing goes on after the process that started it.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from fmbseg.engines.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

CORES = "FMBSEG_CORES"
"""Environment variable: numbers of the cores that the process keeps to, as "0,1"; absent for all."""

_LENGTH = struct.Struct("!Q")


def send(file: IO[bytes], content: bytes) -> None:
    """Write bytes with their length before them."""
    file.write(_LENGTH.pack(len(content)))
    file.write(content)
    file.flush()


def receive(file: IO[bytes]) -> bytes:
    """Read what :func:`send` wrote.

    Raises:
        EOFError: the other end is gone.
    """
    return _exactly(file, *_LENGTH.unpack(_exactly(file, _LENGTH.size)))


def _exactly(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise EOFError("the other process has ended")
    return content


def told_of(error: BaseException) -> str:
    """An error as one line: its text, or, where it may be a bug, its kind as well.

    Example:
        >>> told_of(ValueError("a is 3: it must be 2")), told_of(KeyError("a"))
        ('a is 3: it must be 2', "KeyError: 'a'")
    """
    text = " ".join(str(error).split())
    plain = isinstance(error, ValueError | OSError) or type(error).__module__.startswith("fmbseg.")
    return text if plain and text else f"{type(error).__name__}: {text}"


def _keep_to(cores: str | None) -> None:
    """Keep to some cores, before any library asks how many there are; only Linux can."""
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, map(int, cores.split(",")))


def main() -> None:
    """Make the worker, then do units until there are no more."""
    _keep_to(os.environ.get(CORES))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    asked = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started this process
    units: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=(asked, units), daemon=True).start()

    def answer(kind: str, value: Any) -> None:
        send(answers, pickle.dumps((kind, value)))

    try:
        worker = pickle.loads(units.get())()  # noqa: S301 - from the process that started this one
    except Exception as error:  # noqa: BLE001 - told there
        answer("unfit", told_of(error))
        return
    answer("ready", versions())
    while True:
        answer(*_done(worker, units.get(), answer))


def _done(worker: Any, unit: bytes, answer: Callable[[str, Any], None]) -> tuple[str, Any]:
    try:
        return "done", worker(pickle.loads(unit), lambda count: answer("told", count))  # noqa: S301
    except Exception as error:  # noqa: BLE001 - told there, and tried again
        return "failed", told_of(error)


def _listen(asked: IO[bytes], units: SimpleQueue[bytes]) -> None:
    try:
        while True:
            units.put(receive(asked))
    except EOFError:
        sys.stderr.flush()
        os._exit(0)  # also out of the midst of a unit, which then counts as never begun


if __name__ == "__main__":
    main()
