"""A real Ray cluster of a head and three nodes on this machine: raylets that are started, and killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import fmbseg
from fmbseg.engines.crew import Crew
from fmbseg.engines.on_ray import RayTeam, check_address
from fmbseg.engines.work import EngineError, WorkFailedError
from fmbseg.labels.verification import verify
from tests.cloud import ENVIRONMENT
from tests.engines.cluster import Nodes, shards
from tests.engines.interrupted import interrupt
from tests.engines.kills import Run, files
from tests.engines.works import Squares
from tests.labeling.runs import pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cloud import Bucket

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork"),
]


@pytest.fixture(scope="module")
def nodes(s3_server: str) -> Iterator[Nodes]:
    """The cluster, whose nodes know the server of buckets."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_server}.items():
            patch.setenv(name, value)
        made = Nodes()
        yield made
        made.close()


def crew_of(work: Callable[[], Any], workers: tuple[int, int] = (1, 3), **options: Any) -> Crew:
    return Crew(RayTeam(work, workers, gpus=0), **options)


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
    pictures(tmp_path / "photographs", 24, bad=2)
    run = Run(tmp_path / "photographs", shard=2, seconds=0.2)
    labels = run.label(tmp_path / "whole")
    assert (len(labels), len(labels.errors), shards(tmp_path / "whole")) == (22, 2, 12)
    out = tmp_path / "killed"
    seen = run.through(nodes, out, [(0, nodes.kill), (2, nodes.kill_a_worker), (4, nodes.kill)])
    assert len(seen) == 3
    assert seen[-1] < 12
    assert files(out) == files(tmp_path / "whole")
    assert verify(out, photographs=True) == []
    nodes.fill()
    assert run.through_the_drivers_death(nodes, tmp_path / "driver", 3) < 12
    assert files(tmp_path / "driver") == files(tmp_path / "whole")


def test_from_bucket_to_bucket_it_is_the_label_set_of_one_process(
    nodes: Nodes, bucket: Bucket, tmp_path: Path
) -> None:
    nodes.fill()
    pictures(tmp_path / "photographs", 12, bad=1)
    for path in (tmp_path / "photographs").iterdir():
        bucket.put(f"photographs/{path.name}", path.read_bytes())
    run = Run(f"{bucket.uri}/photographs", shard=4)
    labels = run.label(f"{bucket.uri}/one")
    assert (len(labels), len(labels.errors)) == (11, 1)
    run.label(f"{bucket.uri}/many", address=nodes.address, workers=(1, 2))
    found = {name for name in bucket.names() if name.startswith("many/")}
    assert len(found) == 3 + 1  # shards and the manifest
    assert {name: bucket.get(name) for name in found} == {
        name: bucket.get(name.replace("many/", "one/")) for name in found
    }


def test_ctrl_c_ends_the_actors_and_the_command_goes_on_later(nodes: Nodes, tmp_path: Path) -> None:
    nodes.fill()
    engine = ("--engine", "ray", "--workers", "1:1", "--address", nodes.address)
    interrupt(tmp_path, lambda _: nodes.workers(), *engine)


def test_a_cluster_of_another_ray_or_python_is_refused(nodes: Nodes) -> None:
    code = f"""
import ray._private.utils as utils
from fmbseg.engines.on_ray import connect
from fmbseg.engines.work import EngineError
ray_here, python_here = utils.compute_version_info()[:2]
for own in (("1.2.3", python_here), (ray_here, "3.4.5")):
    utils.compute_version_info = lambda: own
    try:
        connect({nodes.address!r})
    except EngineError as error:
        print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line for line in told.stdout.splitlines() if "Version mismatch" in line]
    assert len(lines) == 2, told.stdout + told.stderr
    assert all(line.endswith("Install the same versions on every node") for line in lines)
    assert "Ray: 1.2.3" in lines[0]
    assert "Python: 3.4.5" in lines[1]
