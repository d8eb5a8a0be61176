"""Options that choose where a command's work is done: here, on processes of this machine, or on Ray."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fmbseg.engines.engine import Engine

_PANEL = "Many machines and GPUs"


class EngineKind(str, Enum):
    """Engines by name."""

    RAY = "ray"


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work is done."""

    engine: Annotated[
        EngineKind | None,
        typer.Option(help="ray: on a cluster of Ray, or on all of this machine.", rich_help_panel=_PANEL),
    ] = None
    processes: Annotated[
        int | None,
        typer.Option(
            help="Number of processes on this machine, without Ray: each has a GPU in turn, or its share of "
            "the cores.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="MIN:MAX",
            help="With --engine ray: number of workers with which the work begins, and at most.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            help="GPUs of a worker on Ray, 0.5 for half a one; 1 if the cluster has any.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    cpus_per_worker: Annotated[
        float | None, typer.Option(help="CPU cores of a worker on Ray; by default 1.", rich_help_panel=_PANEL)
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster as HOST:PORT, or auto. By default RAY_ADDRESS, or the one that runs here; if "
            "there is none, Ray is started on this machine.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def chosen_engine(self) -> "Engine | None":
        """The engine, if not this process.

        Raises:
            typer.BadParameter: options that do not go together.
            ValueError: numbers that cannot be.
        """
        from fmbseg.engines.engine import OnProcesses, OnRay

        of_ray = {
            "--gpus-per-worker": self.gpus_per_worker,
            "--cpus-per-worker": self.cpus_per_worker,
            "--address": self.address,
        }
        given = [name for name, value in of_ray.items() if value is not None]
        if self.engine is None:
            if given:
                raise typer.BadParameter(f"{', '.join(given)} need --engine ray")
            return None if self.processes is None else OnProcesses(self.processes)
        if self.processes is not None:
            raise typer.BadParameter("give either --engine ray or --processes")
        cpus = 1.0 if self.cpus_per_worker is None else self.cpus_per_worker
        return OnRay(self._workers(), self.gpus_per_worker, cpus, self.address)

    def _workers(self) -> tuple[int, int] | None:
        if self.workers is None:
            return None
        least, _, most = self.workers.partition(":")
        if not least.isdecimal() or not (most or least).isdecimal():
            raise typer.BadParameter(f"--workers {self.workers}: write MIN:MAX, as in --workers 1:40")
        return int(least), int(most or least)

    def numbers_of_workers(self) -> list[int]:
        """One, and how many there may be."""
        most = self._workers() if self.engine is not None else None
        asked = (self.processes or 1) if most is None else most[1]
        return sorted({1, asked})

    def threads(self) -> int:
        """Photographs that one worker works on at once: ``--workers`` where it does not number Ray's.

        Raises:
            typer.BadParameter: it is no number.
        """
        if self.engine is not None or self.workers is None:
            return max(1, int(self.cpus_per_worker or 1) // 2)
        if not self.workers.isdecimal():
            raise typer.BadParameter(f"--workers {self.workers}: MIN:MAX needs --engine ray; write a number")
        return int(self.workers)
