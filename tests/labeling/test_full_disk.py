"""A disk that fills up ends a run with one clear error; what was labelled stays, and the next run goes on."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg import LabelSet
from fmbseg.labels.verification import verify
from tests.labeling.runs import done, pictures
from tests.labeling.test_kill_moments import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.labeling.runs import Server

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork"),
]

PHOTOGRAPHS = 60


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs a system where a tmpfs can be mounted: as root on Linux, with that right")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def check(ended: list[dict[str, Any]], out: Path, whole: Path, code: str) -> None:
    """All but the last run failed for want of room, said so, and the last one ended with the same bytes."""
    for one in ended[:-1]:
        assert one["error"].startswith(f"DiskFullError: [Errno {code}] no room to write {out}"), one
        assert (
            "Free some space and run the same again; a labelling or training continues where" in one["error"]
        )
    assert ended[-1]["error"] == ""
    assert files(out) == files(whole)
    assert not list(out.glob(".*.tmp"))
    assert verify(out, photographs=True) == []
    assert len(LabelSet(out)) == PHOTOGRAPHS


def test_a_small_tmpfs(tmp_path: Path, server: Server) -> None:
    source, disk, whole = tmp_path / "photographs", tmp_path / "disk", tmp_path / "whole"
    pictures(source, PHOTOGRAPHS)
    ended, reached = [], []
    with small_disk(disk):
        assert server.run(source, whole)["error"] == ""
        for kilobytes in (16, 20, 28, 36, 40, 44, 48, 10_000):
            size = f"remount,size={kilobytes}k"
            subprocess.run(["mount", "-o", size, str(disk)], check=True)
            ended.append(server.run(source, disk / "labels"))
            reached.append(done(disk / "labels"))
        needed = sum(one["error"] != "" for one in ended)
        assert needed >= 4, "the disk was not small enough to prove anything"
        check(ended[: needed + 1], disk / "labels", whole, "28")
    assert reached == sorted(reached), "a full disk lost photographs"
    assert len(set(reached)) >= 4


def test_files_that_may_not_grow(tmp_path: Path, server: Server) -> None:
    """Where no tmpfs can be mounted, a limit on the size of files stands in for a full disk."""
    source, out, whole = tmp_path / "photographs", tmp_path / "labels", tmp_path / "whole"
    pictures(source, PHOTOGRAPHS)
    ended, reached = [], []
    assert server.run(source, whole)["error"] == ""
    for largest in (2_000, 5_000, 8_000, 12_000):
        ended.append(server.run(source, out, largest_file=largest))
        reached.append(done(out))
    ended.append(server.run(source, out))
    check(ended, out, whole, "27")
    assert reached == sorted(reached)
