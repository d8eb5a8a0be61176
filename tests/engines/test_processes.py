"""Several processes on one machine: every unit once, whatever happens to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import fmbseg
from fmbseg.engines.crew import TRIES, Crew
from fmbseg.engines.engine import OnProcesses, OnRay, engine_of
from fmbseg.engines.processes import ProcessTeam, environments_of
from fmbseg.engines.versions import versions
from fmbseg.engines.work import EngineError, News, WorkFailedError
from tests.engines.cluster import children
from tests.engines.interrupted import interrupt, lives
from tests.engines.works import Squares

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def crew_of(work: Callable[[], Any], count: int = 2, **options: Any) -> Crew:
    return Crew(ProcessTeam(work, count, [{"OMP_NUM_THREADS": "1"}] * count), **options)


def squares(crew: Crew, units: range) -> dict[int, int]:
    return {unit: result["square"] for unit, result in crew.map(units)}


def test_every_unit_is_done_once_by_workers_that_are_made_once(tmp_path: Path) -> None:
    work = Squares(tmp_path)
    with crew_of(work) as crew:
        assert squares(crew, range(20)) == {unit: unit * unit for unit in range(20)}
        assert squares(crew, range(20, 25)) == {unit: unit * unit for unit in range(20, 25)}
    assert [work.tries(unit) for unit in range(25)] == [1] * 25
    assert len(list(tmp_path.glob("made-*"))) <= 2


def test_a_unit_whose_process_dies_is_done_by_another(tmp_path: Path) -> None:
    work = Squares(tmp_path, deadly=(3, 5))
    with crew_of(work) as crew:
        assert squares(crew, range(8)) == {unit: unit * unit for unit in range(8)}
    assert work.tries(3) == work.tries(5) == 2
    assert len(set(work.workers_of(3))) == 2


def test_a_unit_that_always_fails_is_given_up_and_told_and_the_others_are_done(tmp_path: Path) -> None:
    work = Squares(tmp_path, deadly=(1,), once=False, bad=(4,))
    found: dict[int, int] = {}
    with crew_of(work) as crew, pytest.raises(WorkFailedError) as caught:
        found.update((unit, result["square"]) for unit, result in crew.map(range(6)))
    assert found == {0: 0, 2: 4, 3: 9, 5: 25}
    assert work.tries(1) == work.tries(4) == TRIES
    assert sorted(caught.value.failed) == [
        "the process that worked on it was killed (SIGKILL, which a lack of memory also does)",
        "unit 4 is bad",
    ]
    assert "2 units of work failed, each on 4 tries" in str(caught.value)


def test_where_nothing_comes_through_the_work_is_stopped(tmp_path: Path) -> None:
    work = Squares(tmp_path, bad=tuple(range(1000)))
    with crew_of(work) as crew, pytest.raises(WorkFailedError, match="the work was stopped") as caught:
        list(crew.map(range(1000)))
    assert len(caught.value.failed) == 10
    assert work.tries(500) == 0


@pytest.mark.parametrize(
    ("unfit", "told"),
    [("no such model", "no such model"), ("exit", "does not start: it ended with code 3")],
)
def test_workers_that_cannot_be_made_are_told_of(tmp_path: Path, unfit: str, told: str) -> None:
    with crew_of(Squares(tmp_path, unfit=unfit), 1) as crew, pytest.raises(EngineError, match=told):
        list(crew.map(range(3)))


def test_another_version_is_refused_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Squares(tmp_path)
    here = fmbseg.__version__
    monkeypatch.setattr(fmbseg, "__version__", "99.0")
    with crew_of(work, 1) as crew, pytest.raises(EngineError, match=rf"fmbseg {here} \(here 99.0\)"):
        list(crew.map(range(3)))
    assert not list(tmp_path.glob("unit-*"))
    assert versions()["fmbseg"] == "99.0"


@dataclass
class Elsewhere:
    """A team of one, on a machine with other versions."""

    has: dict[str, str]
    most: int = 1
    least: int = 1
    given: int = 0

    def give(self, worker: int, unit: object) -> None:
        self.given += 1

    def news(self, seconds: float) -> list[News]:
        return [News(0, "ready", {**versions(), "where": "node b", **self.has})]

    def told(self) -> dict[int, int]:
        return {}

    def waiting_for(self) -> str:
        return ""

    def close(self) -> None:
        self.given -= 100


@pytest.mark.parametrize(("name", "other"), [("Python", "3.4"), ("Ray", "1.2.3"), ("fmbseg", "99.0")])
def test_a_node_with_another_version_is_named_and_gets_no_work(
    name: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(__version__="2.60.0"))
    here, team = versions()[name], Elsewhere({name: other})
    told = rf"node b has {name} {re.escape(other)} \(here {re.escape(here)}\): install the same on every node"
    with Crew(team) as crew, pytest.raises(EngineError, match=told):
        list(crew.map(range(3)))
    assert team.given == -100  # it was closed, and was given nothing


def test_photographs_done_are_told_while_a_unit_is_worked_on(tmp_path: Path) -> None:
    moved: list[int] = []
    with crew_of(Squares(tmp_path, seconds=1.5), 1, moved=moved.append) as crew:
        list(crew.map(range(1)))
    assert 1 in moved
    assert moved[-1] == 0  # what is done is no longer in hand


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.engines.works import Squares\n"
        "from tests.engines.test_processes import crew_of\n"
        f"with crew_of(Squares(Path({str(tmp_path)!r}), seconds=60)) as crew: list(crew.map(range(2)))"
    )
    driver = subprocess.Popen([sys.executable, "-c", code])
    while len(list(tmp_path.glob("unit-*"))) < 2:
        time.sleep(0.02)
    workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("made-*")]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until = time.monotonic() + 20
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(lives, workers))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGINT")
def test_ctrl_c_ends_the_processes_and_the_command_goes_on_later(tmp_path: Path) -> None:
    interrupt(tmp_path, lambda command: children({command.pid}), "--processes", "2")


def test_each_process_gets_its_gpu_or_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    given = environments_of(3, "cuda", 2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in given] == ["4", "6", "4"]
    assert environments_of(2, "cuda:1", 2) == [{}, {}]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    given = environments_of(5, None, 0)
    assert [one["OMP_NUM_THREADS"] for one in given] == ["2"] * 5
    assert [one["FMBSEG_CORES"] for one in given] == ["0,1,2", "3,4,5", "6,7", "8,9", "10,11"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environments_of(2, "cpu", 0) == [
        {"FMBSEG_CORES": "0,1,2,3,4,5"},
        {"FMBSEG_CORES": "6,7,8,9,10,11"},
    ]
    assert environments_of(2, "mps", 0) == [{}, {}]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux keeps a process to some cores")
def test_a_process_keeps_to_its_cores(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    with Crew(ProcessTeam(Squares(tmp_path), 1, [{"FMBSEG_CORES": str(core)}])) as crew:
        ((_, result),) = crew.map([3])
    assert result["cores"] == [core]


def test_engines_are_refused_that_cannot_be() -> None:
    assert engine_of("ray") == OnRay()
    assert engine_of(OnProcesses(2)) == OnProcesses(2)
    with pytest.raises(ValueError, match="there is no engine 'spark'"):
        engine_of("spark")
    with pytest.raises(ValueError, match="0 processes"):
        OnProcesses(0)
    with pytest.raises(ValueError, match="3:2"):
        OnRay(workers=(3, 2))
    with pytest.raises(ValueError, match="gpus is -1"):
        OnRay(gpus=-1)
