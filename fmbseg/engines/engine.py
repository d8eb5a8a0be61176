"""Engines: where work is done that one process would do too, named by ``--engine``, or ``engine=``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fmbseg.engines.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable


class Engine(Protocol):
    """Where work is done."""

    def crew(self, make_worker: Callable[[], Any], *, device: str | None = None) -> Crew:
        """Start workers.

        Args:
            make_worker: called once in each process; see :data:`~fmbseg.engines.work.MakeWorker`.
            device: that was asked for.
        """
        ...


@dataclass(frozen=True)
class OnProcesses:
    """Several processes on this machine: each its own GPU in turn, or its share of the CPU's cores.

    Args:
        count: of processes.

    Raises:
        ValueError: ``count`` is below 1.
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"{self.count} processes: there must be 1 or more")

    def crew(self, make_worker: Callable[[], Any], *, device: str | None = None) -> Crew:
        """Start the processes."""
        import torch

        from fmbseg.engines.processes import ProcessTeam, environments_of

        gpus = torch.cuda.device_count() if device in (None, "auto", "cuda") else 0
        return Crew(ProcessTeam(make_worker, self.count, environments_of(self.count, device, gpus)))


@dataclass(frozen=True)
class OnRay:
    """Actors of Ray, on one machine or many.

    Args:
        workers: fewest with which the work begins, and most; those between come and go with the nodes.
        gpus: of each worker; a fraction shares one. By default 1 where the cluster has any, else 0.
        cpus: cores of each worker.
        address: of a running cluster, as ``10.0.0.1:6379``, or ``auto``; if not given, the one that
            ``RAY_ADDRESS`` names or that runs on this machine, else Ray is started on this machine alone.

    Raises:
        ValueError: numbers that cannot be.
    """

    workers: tuple[int, int] | None = None
    gpus: float | None = None
    cpus: float = 1.0
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers[0] <= self.workers[1]:
            raise ValueError(f"workers are {self.workers[0]}:{self.workers[1]}: write 1 <= MIN <= MAX")
        for name, value in (("gpus", self.gpus or 0), ("cpus", self.cpus)):
            if value < 0:
                raise ValueError(f"{name} is {value:g}: it must be 0 or more")

    def crew(self, make_worker: Callable[[], Any], *, device: str | None = None) -> Crew:
        """Connect to the cluster, and ask it for actors."""
        del device  # Ray gives each worker its GPUs
        from fmbseg.engines.on_ray import RayTeam

        return Crew(RayTeam(make_worker, self.workers, self.gpus, self.cpus, self.address))


EngineName: TypeAlias = "Engine | str | None"


def engine_of(name: EngineName) -> Engine | None:
    """The engine that is named: ``ray`` is :class:`OnRay` as it comes, None this process alone.

    Raises:
        ValueError: there is no such engine.
    """
    if isinstance(name, str):
        if name != "ray":
            raise ValueError(f"there is no engine {name!r}: write ray, or OnProcesses(8) for processes")
        return OnRay()
    return name
