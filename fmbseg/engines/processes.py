"""Workers as processes on this machine: one a GPU, or several that share the CPU's cores."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from fmbseg.ahead import usable_cores
from fmbseg.engines.process_worker import CORES, receive, send
from fmbseg.engines.work import News, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_STARTS = 3
_SECONDS_TO_END = 5


class ProcessTeam:
    """A process for each worker, each looked after by a thread here; see :class:`~fmbseg.engines.work.Team`.

    Args:
        make_worker: called once in each process.
        count: how many.
        environments: environment variables of each.
    """

    def __init__(
        self, make_worker: Callable[[], Any], count: int, environments: Sequence[Mapping[str, str]]
    ) -> None:
        self.most, self.least = count, 1
        self._work = packed(make_worker)
        self._environments = environments
        self._given: list[SimpleQueue[bytes]] = [SimpleQueue() for _ in range(count)]
        self._news: SimpleQueue[News] = SimpleQueue()
        self._told = dict.fromkeys(range(count), 0)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._ready: set[int] = set()
        self._closed = False
        self._threads = [Thread(target=self._look_after, args=(one,), daemon=True) for one in range(count)]
        for thread in self._threads:
            thread.start()

    def give(self, worker: int, unit: Any) -> None:
        """Give a unit to a worker that is ready and has none."""
        self._told[worker] = 0
        self._given[worker].put(pickle.dumps(unit))

    def news(self, seconds: float) -> list[News]:
        """Wait for news, for so long at most."""
        try:
            return [self._news.get(timeout=seconds)]
        except Empty:
            return []

    def told(self) -> Mapping[int, int]:
        """Photographs done so far of the unit that each worker has."""
        return self._told

    def waiting_for(self) -> str:
        """Nothing: processes start by themselves."""
        return ""

    def pids(self) -> list[int]:
        """The processes that are alive."""
        return [process.pid for process in self._processes.values()]

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._closed = True
        for worker, process in list(self._processes.items()):
            process.kill()
            self._given[worker].put(b"")
        for thread in self._threads:
            thread.join(_SECONDS_TO_END)

    def _look_after(self, worker: int) -> None:
        """Start a worker's process, pass units and answers, and start it again where it dies."""
        starts = 0
        while not self._closed:
            starts += 1
            why = self._live(worker)
            if why is None or self._closed:
                return
            if worker in self._ready:
                starts = 0
                self._ready.remove(worker)
                self._news.put(News(worker, "lost", f"the process that worked on it {why}"))
            elif starts == _STARTS:
                self._news.put(News(worker, "unfit", f"its process does not start: it {why}"))
                return

    def _live(self, worker: int) -> str | None:
        """A process's life, from its start to its end; how it ended, or None where it is not needed again."""
        process = self._start(worker)
        self._processes[worker] = process
        try:
            self._pass_on(worker, process)
        except (EOFError, OSError):
            return _how_it_ended(process)
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what it never read
                    pipe.close()  # type: ignore[union-attr]
            process.wait()
        return None

    def _pass_on(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        """Pass units and answers on, until there are no more, or the process is unfit."""
        assert process.stdin is not None
        assert process.stdout is not None
        send(process.stdin, self._work)
        while not self._closed:
            kind, value = pickle.loads(receive(process.stdout))  # noqa: S301 - our own process
            if kind == "told":
                self._told[worker] += value
                continue
            self._news.put(News(worker, kind, value))
            if kind == "unfit":
                return
            self._ready.add(worker)
            unit = self._given[worker].get()
            if not self._closed:
                send(process.stdin, unit)

    def _start(self, worker: int) -> subprocess.Popen[bytes]:
        # What was sent may be of modules that only this process knows how to find.
        path = os.pathsep.join(dict.fromkeys([one or os.getcwd() for one in sys.path]))  # noqa: PTH109
        return subprocess.Popen(
            [sys.executable, "-m", "fmbseg.engines.process_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **self._environments[worker]},
        )


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name
    return f"was killed ({name}{', which a lack of memory also does' if name == 'SIGKILL' else ''})"


def environments_of(count: int, device: str | None, gpus: int) -> list[dict[str, str]]:
    """Environment variables that give each of several processes its GPU, or its share of the cores.

    A share is cores of its own: whatever a process computes with, then takes as many threads, and all threads
    of one process stay off the cores of the others.

    Args:
        count: of processes.
        device: that was asked for; where it has a number, all processes share that one.
        gpus: of this machine.

    Example:
        >>> environments_of(3, None, 2)
        [{'CUDA_VISIBLE_DEVICES': '0'}, {'CUDA_VISIBLE_DEVICES': '1'}, {'CUDA_VISIBLE_DEVICES': '0'}]
    """
    if gpus and device in (None, "auto", "cuda"):
        allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = allowed if len(allowed) == gpus else [str(index) for index in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": names[worker % gpus].strip()} for worker in range(count)]
    if device not in (None, "auto", "cpu"):
        return [{} for _ in range(count)]
    shares = shared(usable_cores(), count)
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(len(shares[-1]))}
    return [{CORES: ",".join(map(str, share)), **threads} for share in shares]


def shared(cores: Sequence[int], count: int) -> list[list[int]]:
    """Divide cores among processes: neighbours together, the first ones get one more if any are over.

    Example:
        >>> shared([0, 1, 2, 3, 4], 2), shared([4, 6], 3)
        ([[0, 1, 2], [3, 4]], [[4], [6], [4]])
    """
    if count > len(cores):
        return [[cores[worker % len(cores)]] for worker in range(count)]
    each, more = divmod(len(cores), count)
    left = iter(cores)
    return [list(islice(left, each + (worker < more))) for worker in range(count)]
