"""Long work in the background: a command of fmbseg, which can be stopped and started again.

The page runs the commands that it shows: what it makes is what `fmbseg label` and `fmbseg fit` make, a
stopped run continues in either, and a crash of one takes nothing else with it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections import deque
from threading import Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmbseg.models.loading.hub_files import HubOptions

_RUN = "from fmbseg.cli.main import main; main()"
_LINES = 40
_ENDS_WITHIN = 20.0  # seconds


class CommandJob:
    """One command of fmbseg at a time.

    Attributes:
        command: that runs or ran last, as one would type it.
        stopped: whether it was stopped on purpose.
    """

    def __init__(self) -> None:
        self.command, self.stopped = "", False
        self._process: subprocess.Popen[str] | None = None
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._lock = Lock()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Run ``fmbseg ARGUMENTS``.

        Raises:
            ValueError: the last command still runs.
        """
        with self._lock:
            if self.running:
                raise ValueError(f"this runs already: {self.command}")
            self.command, self.stopped = shlex.join(["fmbseg", *arguments]), False
            self._lines.clear()
            self._process = subprocess.Popen(  # noqa: S603 - this very package, without a shell
                [sys.executable, "-c", _RUN, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "COLUMNS": "500", **(environment or {})},
                start_new_session=True,  # Ctrl-C in the terminal is for the page, which ends this
            )
            Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        """End the command, if one runs; what it has written stays."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self.stopped = True
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether the last command ended with an error."""
        return not self.stopped and self._process is not None and self._process.poll() not in (None, 0)

    @property
    def lines(self) -> list[str]:
        """The last lines that it printed."""
        return list(self._lines)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                if line.strip():
                    self._lines.append(line.rstrip())


def hub_arguments(hub: HubOptions | None) -> tuple[list[str], dict[str, str]]:
    """How a command finds files as the page does: its options, and what the environment says (the token)."""
    if hub is None:
        return [], {}
    options = [] if hub.cache_dir is None else ["--cache-dir", str(hub.cache_dir)]
    options += ["--local-files-only"] if hub.local_files_only else []
    return options, {"HF_TOKEN": hub.token} if isinstance(hub.token, str) else {}
