"""A kill at every single step of writing to the disk, before it and after it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg.labels.joined import join
from fmbseg.part import Part
from tests.labels.test_writer import files, write

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")


def in_child(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    die_at: int | None,
    *,
    after: bool,
    work: Callable[[Path], Any] = write,
) -> int:
    """Write in a process of its own that kills itself at a step; return how it ended.

    Steps are flushing to the disk, renaming and deleting.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        steps = 0

        def counted(real: Any) -> Any:
            def step(*given: Any, **named: Any) -> Any:
                nonlocal steps
                steps += 1
                last = steps == die_at
                if last and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*given, **named)
                if last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return step

        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
        work(folder)
        (folder.parent / "steps").write_text(str(steps))
    except BaseException as error:  # noqa: BLE001 - the child must not go on as a second pytest
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


@pytest.mark.parametrize("after", [False, True])
def test_every_step_may_be_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    whole = tmp_path / "whole"
    assert in_child(whole, monkeypatch, None, after=after) == 0
    steps = int((tmp_path / "steps").read_text())
    assert steps == 2 + 7 + 4 * 2 + 1  # the manifest, the photographs, the shards, the journal goes
    for step in range(1, steps + 1):
        folder = tmp_path / f"killed{step}"
        status = in_child(folder, monkeypatch, step, after=after)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert in_child(folder, monkeypatch, None, after=after) == 0
        left = {name for name in files(folder) if name.endswith(".tmp")}  # a later run writes over them
        assert {name: content for name, content in files(folder).items() if name not in left} == files(whole)


def test_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_child(tmp_path / "whole", monkeypatch, None, after=False) == 0
    folder = tmp_path / "killed"
    # Closing a shard takes three steps from the start of a run, with what a kill left: fewer would never
    # get past it.
    ends = [in_child(folder, monkeypatch, 4, after=bool(turn % 2)) for turn in range(20)]
    assert sum(map(os.WIFSIGNALED, ends)) >= 4
    assert ends[-1] == 0
    assert files(folder) == files(tmp_path / "whole")


@pytest.mark.parametrize("after", [False, True])
def test_joining_may_end_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    write(tmp_path / "whole")
    parts = [tmp_path / "part1", tmp_path / "part2"]
    for index, part in enumerate(parts, start=1):
        write(part, part=Part(index, 2))

    def work(folder: Path) -> None:
        join(parts, folder)

    assert in_child(tmp_path / "joined", monkeypatch, None, after=after, work=work) == 0
    steps = int((tmp_path / "steps").read_text())
    assert steps == 2 + 4 * 2  # the manifest, the shards
    for step in range(1, steps + 1):
        folder = tmp_path / f"killed{step}"
        assert os.WIFSIGNALED(in_child(folder, monkeypatch, step, after=after, work=work))
        assert in_child(folder, monkeypatch, None, after=after, work=work) == 0
        left = {name for name in files(folder) if name.endswith(".tmp")}
        assert {name: content for name, content in files(folder).items() if name not in left} == files(
            tmp_path / "whole"
        )
