"""Workers as actors of Ray.

Why plain actors and not Ray Data's ``map_batches``, which would be a line: it gives a unit that kills its
process to another actor for ever ("infinite retries remaining"), ends the whole run where a unit raises an
error, and costs more a unit (docs/howto/many_machines.md has the figures). Ray still places the actors, and
asks its autoscaler for nodes.
"""

from __future__ import annotations

import logging
import pickle
import socket
from typing import TYPE_CHECKING, Any

from fmbseg.engines.process_worker import told_of
from fmbseg.engines.versions import versions
from fmbseg.engines.work import EngineError, News, packed
from fmbseg.missing_package import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STARTS = 3
_POLLED_EVERY = 2.0
_CONNECT_SECONDS = 5.0
_START = (
    "`ray start --head --port=6379` on one machine, `ray start --address=THAT_MACHINE:6379` on the others"
)


class WorkerActor:
    """A worker on a node; Ray makes an actor of it.

    Args:
        work: pickled, makes the worker.
    """

    def __init__(self, work: bytes) -> None:
        self._work = work
        self._told = 0
        self._worker: Any = None
        self._photographs: Any = None

    def start(self) -> tuple[str, Any]:
        """Load what the work needs."""
        import ray
        from ray.util.metrics import Counter

        try:
            found = {**versions(), "where": f"node {ray.get_runtime_context().get_node_id()}"}
            self._photographs = Counter("fmbseg_photographs", "Photographs worked on.")
            self._worker = pickle.loads(self._work)()  # noqa: S301 - from the driver
        except Exception as error:  # noqa: BLE001 - told there
            return "unfit", told_of(error)
        return "ready", found

    def do(self, unit: Any) -> tuple[str, Any]:
        """Work on a unit."""
        self._told = 0
        try:
            return "done", self._worker(unit, self._tell)
        except Exception as error:  # noqa: BLE001 - told there, and tried again
            return "failed", told_of(error)

    def told(self) -> int:
        """Photographs done so far of this unit."""
        return self._told

    def _tell(self, count: int) -> None:
        self._told += count
        self._photographs.inc(count)


class RayTeam:
    """An actor for each worker, replaced where it or its node dies; see :class:`~fmbseg.engines.work.Team`.

    Ray places the actors, and waits with those for which there is no room yet.

    Args:
        make_worker: called once in each actor.
        workers: fewest and most actors; by default from one to as many as there is room for.
        gpus: of each; by default 1 where the cluster has any.
        cpus: of each.
        address: of the cluster.

    Raises:
        EngineError: there is no cluster at the address, or it has other versions.
        MissingPackageError: Ray is not installed.
    """

    def __init__(
        self,
        make_worker: Callable[[], Any],
        workers: tuple[int, int] | None = None,
        gpus: float | None = None,
        cpus: float = 1.0,
        address: str | None = None,
    ) -> None:
        self._ray = ray = require("ray", "cluster", "the engine ray")
        work = packed(make_worker, ray.cloudpickle.dumps)  # before there is anything to end
        self._own = connect(address)
        cluster = ray.cluster_resources()
        gpus = (1.0 if cluster.get("GPU") else 0.0) if gpus is None else gpus
        self.least, self.most = workers or (1, _room(cluster, gpus, cpus))
        self._wanted = {"num_gpus": gpus, "num_cpus": cpus}
        self._kind = ray.remote(WorkerActor)
        self._work = ray.put(work)
        self._starts = dict.fromkeys(range(self.most), 0)
        self._actors: dict[int, Any] = {}
        self._answers: dict[Any, tuple[int, str]] = {}
        self._polls: dict[Any, int] = {}
        self._told: dict[int, int] = {}
        for worker in range(self.most):
            self._start(worker)

    def give(self, worker: int, unit: Any) -> None:
        """Give a unit to a worker that is ready and has none."""
        self._told[worker] = 0
        self._answers[self._actors[worker].do.remote(unit)] = worker, "do"

    def news(self, seconds: float) -> list[News]:
        """Wait for news, for so long at most."""
        if not self._answers:
            return []
        answered, _ = self._ray.wait(list(self._answers), num_returns=1, timeout=seconds)
        return [news for answer in answered for news in self._heard(answer)]

    def _heard(self, answer: Any) -> list[News]:
        worker, asked = self._answers.pop(answer)
        try:
            kind, value = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            return self._lost(worker, asked, error)
        self._starts[worker] = 0
        return [News(worker, kind, value)]

    def _lost(self, worker: int, asked: str, error: Exception) -> list[News]:
        why = _in_a_line(error)
        if asked == "do":
            self._start(worker)
            return [News(worker, "lost", why)]
        self._starts[worker] += 1
        if self._starts[worker] == _STARTS:
            return [News(worker, "unfit", f"its actor does not start: {why}")]
        self._start(worker)
        return []

    def told(self) -> Mapping[int, int]:
        """Photographs done so far of the unit that each worker has, as they said a moment ago."""
        ray = self._ray
        answered, _ = (
            ray.wait(list(self._polls), num_returns=len(self._polls), timeout=0) if self._polls else ([], [])
        )
        for answer in answered:
            worker = self._polls.pop(answer)
            try:
                self._told[worker] = ray.get(answer)
            except ray.exceptions.RayError:  # its unit's own answer tells
                continue
        asked = set(self._polls.values())
        for worker, what in list(self._answers.values()):
            if what == "do" and worker not in asked:
                self._polls[self._actors[worker].told.remote()] = worker
        return self._told

    def waiting_for(self) -> str:
        """What the cluster has, and what each worker needs."""
        has = self._ray.cluster_resources()
        needs = f"{self._wanted['num_cpus']:g} CPUs and {self._wanted['num_gpus']:g} GPUs"
        return f"; each needs {needs}, and the cluster has {has.get('CPU', 0):g} and {has.get('GPU', 0):g}"

    def close(self) -> None:
        """End all actors, whatever they do."""
        for actor in self._actors.values():
            self._ray.kill(actor, no_restart=True)
        if self._own:
            self._ray.shutdown()

    def _start(self, worker: int) -> None:
        before = self._actors.get(worker)
        if before is not None:  # it may only have been out of reach
            self._ray.kill(before, no_restart=True)
        # The second thread tells how far the first has got.
        made = self._kind.options(max_restarts=0, max_concurrency=2, **self._wanted)
        self._actors[worker] = made.remote(self._work)
        self._answers[self._actors[worker].start.remote()] = worker, "start"


def connect(address: str | None) -> bool:
    """Connect this process to a cluster if it is not connected yet; return whether that was needed.

    Raises:
        EngineError: there is none, or it has other versions of Python or Ray.
    """
    ray = require("ray", "cluster", "the engine ray")
    if ray.is_initialized():
        return False
    check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise EngineError(f"there is no Ray cluster at {address}: start one with {_START}") from error
    except RuntimeError as error:
        if "ersion mismatch" not in str(error):
            raise
        told = " ".join(str(error).split())
        raise EngineError(f"{told} Install the same versions on every node") from error
    return True


def check_address(address: str | None) -> None:
    """Refuse what is not an address, or one where nothing listens: Ray would wait for minutes."""
    if address in (None, "auto", "local"):
        return
    host, colon, port = str(address).rpartition(":")
    if not (colon and host and port.isdecimal()) or "://" in str(address):
        raise EngineError(
            f"{address!r} is no address of a cluster: write HOST:PORT, as in 10.0.0.1:6379, or auto on one "
            "of its machines"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"there is no Ray cluster at {address} ({error}): start one with {_START}"
        ) from error


def _room(cluster: Mapping[str, float], gpus: float, cpus: float) -> int:
    """How many workers the cluster as it is has room for, at least one."""
    rooms = [cluster.get(name, 0) / each for name, each in (("GPU", gpus), ("CPU", cpus)) if each]
    return max(1, int(min(rooms, default=1)))


def _in_a_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if "died" in line or "Error" in line or "memory" in line]
    return " ".join((useful or lines or [type(error).__name__])[:2])[:300]
