"""A real Ray cluster of a head and three nodes on this machine: raylets that are started, and killed."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

import fmbseg
from fmbseg.engines.crew import Crew
from fmbseg.engines.on_ray import RayTeam, check_address
from fmbseg.engines.work import EngineError, WorkFailedError
from fmbseg.labels.verification import verify
from tests.engines.cluster import Nodes, shards
from tests.engines.kills import Run, files
from tests.engines.works import Squares
from tests.labeling.runs import pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork"),
]


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


def test_nodes_a_worker_and_the_driver_die_and_the_label_set_is_that_of_one_process(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes.fill()
    pictures(tmp_path / "photographs", 36, bad=2)
    run = Run(tmp_path / "photographs", shard=2, seconds=0.2)
    labels = run.label(tmp_path / "whole")
    assert (len(labels), len(labels.errors), shards(tmp_path / "whole")) == (34, 2, 18)
    out = tmp_path / "killed"
    seen = run.through(nodes, out, [(0, nodes.kill), (3, nodes.kill_a_worker), (6, nodes.kill)])
    assert len(seen) == 3
    assert seen[-1] < 18
    assert files(out) == files(tmp_path / "whole")
    assert verify(out, photographs=True) == []
    nodes.fill()
    assert run.through_the_drivers_death(nodes, tmp_path / "driver", 4) < 18
    assert files(tmp_path / "driver") == files(tmp_path / "whole")
