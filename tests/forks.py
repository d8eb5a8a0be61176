"""Processes to be killed, forked from one that has imported what they use, for that takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]

_SERVER = """
import os, sys, traceback
{imports}
import torch
torch.set_num_threads(1)
for line in sys.stdin:
    child = os.fork()
    if not child:
        print(os.getpid(), flush=True)
        try:
            exec(line)
        except SystemExit:
            pass
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("ended by", os.WTERMSIG(status), flush=True)
"""


class Forks:
    """One process at a time, each of which runs one line of Python; use it as a context manager.

    Args:
        imports: lines that are run once, before the forks.
    """

    def __init__(self, imports: str) -> None:
        self._code = _SERVER.format(imports=imports)

    def __enter__(self) -> Forks:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._code],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, line: str) -> None:
        """Start a process that runs the line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._signal: int | None = None
        self._child = int(self.read())

    def read(self) -> str:
        """The next line that the process prints; empty at its end."""
        assert self._process.stdout is not None
        if self._signal is not None:
            return ""
        line = self._process.stdout.readline().strip()
        assert line, "the process that forks has died"
        if line.startswith("ended by"):
            self._signal = int(line.split()[-1])
            return ""
        return line

    def kill(self) -> bool:
        """Kill it, unless it has ended; whether it was killed."""
        with suppress(ProcessLookupError):
            os.kill(self._child, SIGKILL)
        return self.end() == SIGKILL

    def end(self) -> int:
        """Wait for its end; the signal that ended it, or 0."""
        while self._signal is None:
            self.read()
        return self._signal
