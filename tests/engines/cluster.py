"""A real Ray cluster on this machine: a head that does no work, and nodes that are started and killed."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.cluster_utils import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_STORE = 80_000_000  # bytes of a node's object store: about the least that Ray takes


class Nodes:
    """The cluster; each node has one core, so that it has one worker.

    Args:
        count: nodes that work.
    """

    def __init__(self, count: int = 3) -> None:
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # on a busy machine
        os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # others may fill it: kill nobody here
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.count, self.working = count, list[Any]()
        self.fill()
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    @property
    def address(self) -> str:
        """Where others find it."""
        return str(self.cluster.address)

    def fill(self) -> None:
        """Start nodes in the place of those that were killed."""
        while len(self.working) < self.count:
            self.working.append(self.cluster.add_node(num_cpus=1, object_store_memory=_STORE, wait=False))

    def kill(self) -> None:
        """Kill the oldest node with all that runs on it, as a lack of power would."""
        self.cluster.remove_node(self.working.pop(0), allow_graceful=False)

    def kill_a_worker(self) -> None:
        """Kill the process of one actor that works."""
        workers: list[int] = []
        while not workers:  # of a killed one, the next is still to start
            workers = self.workers()
        os.kill(workers[0], signal.SIGKILL)

    def workers(self) -> list[int]:
        """The processes of actors."""
        raylets = {node.all_processes["raylet"][0].process.pid for node in self.working}
        return [pid for pid in children(raylets) if _command(pid).startswith("ray::WorkerActor")]

    def close(self) -> None:
        """End all of it."""
        ray.shutdown()
        self.cluster.shutdown()  # type: ignore[no-untyped-call]


def children(parents: set[int]) -> list[int]:
    """The processes that some others started."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if _parent(pid) in parents]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:  # it has ended
        return ""


def shards(out: Path) -> int:
    """How many shards of a label set are there."""
    return len(list(out.glob("shard-*.parquet")))


@contextmanager
def happening(out: Path, events: Sequence[tuple[int, Callable[[], None]]]) -> Iterator[list[int]]:
    """While a run lasts, do something whenever so many shards are there; tell how many were, each time.

    Args:
        out: folder of the label set.
        events: numbers of shards, ascending, and what is done then.
    """
    ended, seen, failed = threading.Event(), list[int](), list[Exception]()

    def watch() -> None:
        try:
            follow()
        except Exception as error:  # noqa: BLE001 - raised where the run ends
            failed.append(error)

    def follow() -> None:
        for goal, act in events:
            while shards(out) < goal and not ended.wait(0.01):
                pass
            if ended.is_set():
                return
            seen.append(shards(out))
            act()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]
