"""A real Ray cluster of a head and three nodes on this machine: raylets that are started, and killed."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
import ray
from ray.cluster_utils import Cluster

import fmbseg
from fmbseg.engines.crew import Crew
from fmbseg.engines.on_ray import RayTeam, check_address
from fmbseg.engines.work import EngineError, WorkFailedError
from tests.engines.works import Squares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_STORE = 80_000_000  # bytes of a node's object store: the least that Ray takes


class Nodes:
    """The cluster, whose head does no work."""

    def __init__(self) -> None:
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # on a busy machine
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.working: list[Any] = []
        self.fill()
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    def fill(self) -> None:
        """Let there be three nodes."""
        while len(self.working) < 3:
            self.working.append(self.cluster.add_node(num_cpus=1, object_store_memory=_STORE, wait=False))

    def kill(self) -> None:
        """Kill one node, with all that runs on it, as a lack of power would."""
        self.cluster.remove_node(self.working.pop(0), allow_graceful=False)

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    yield made
    made.close()


def crew_of(work: Callable[[], Any], workers: tuple[int, int] = (1, 3), **options: Any) -> Crew:
    return Crew(RayTeam(work, workers, gpus=0), **options)


def squares(crew: Crew, units: range) -> dict[int, int]:
    return {unit: result["square"] for unit, result in crew.map(units)}


def test_a_node_and_a_worker_may_die_and_every_unit_is_done(nodes: Nodes, tmp_path: Path) -> None:
    nodes.fill()
    work = Squares(tmp_path, deadly=(5,), seconds=0.05)
    found = {}
    with crew_of(work) as crew:
        for unit, result in crew.map(range(40)):
            found[unit] = result["square"]
            if len(found) == 12:
                nodes.kill()
    assert found == {unit: unit * unit for unit in range(40)}
    assert work.tries(5) >= 2


def test_a_unit_that_always_fails_is_given_up_and_told(nodes: Nodes, tmp_path: Path) -> None:
    nodes.fill()
    work = Squares(tmp_path, deadly=(1,), once=False, bad=(4,))
    found: dict[int, int] = {}
    with crew_of(work, tries=2) as crew, pytest.raises(WorkFailedError) as caught:
        found.update((unit, result["square"]) for unit, result in crew.map(range(6)))
    assert found == {0: 0, 2: 4, 3: 9, 5: 25}
    assert work.tries(1) == work.tries(4) == 2
    assert len(caught.value.failed) == 2
    assert "unit 4 is bad" in caught.value.failed


def test_workers_that_cannot_be_made_or_have_another_version_are_refused_before_work(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        crew_of(Squares(tmp_path, unfit="no such model")) as crew,
        pytest.raises(EngineError, match="no such model"),
    ):
        list(crew.map(range(3)))
    here = fmbseg.__version__
    monkeypatch.setattr(fmbseg, "__version__", "99.0")
    with (
        crew_of(Squares(tmp_path)) as crew,
        pytest.raises(EngineError, match=rf"node .* has fmbseg {here} \(here 99.0\)"),
    ):
        list(crew.map(range(3)))
    assert not list(tmp_path.glob("unit-*"))


def test_what_is_awaited_and_what_is_done_is_told(nodes: Nodes, tmp_path: Path) -> None:
    nodes.fill()
    moved: list[int] = []
    with crew_of(Squares(tmp_path, seconds=2.5), (1, 1), moved=moved.append) as crew:
        list(crew.map(range(1)))
    assert 1 in moved
    team = RayTeam(Squares(tmp_path), (2, 2), gpus=1)
    assert team.waiting_for().startswith("; each needs 1 CPUs and 1 GPUs, and the cluster has ")
    team.close()


def test_where_no_cluster_is_that_is_told_with_how_to_start_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EngineError, match=f"no Ray cluster at {address}.*ray start --head"):
        check_address(address)
    with pytest.raises(EngineError, match=r"'ray://10.0.0.1:10001' is no address of a cluster"):
        check_address("ray://10.0.0.1:10001")
