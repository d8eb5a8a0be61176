"""A run over 200 photographs that is killed at 50 random moments: nothing lost, doubled or torn."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from fmbseg import LabelSet
from fmbseg.labels.verification import verify
from tests.labeling.runs import TEACHER, Server, done, pictures

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork"),
]

PHOTOGRAPHS, BAD, KILLS = 200, 3, 50


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def test_killed_at_fifty_random_moments(tmp_path: Path, server: Server) -> None:
    source, whole, killed = tmp_path / "photographs", tmp_path / "whole", tmp_path / "killed"
    pictures(source, PHOTOGRAPHS, bad=BAD)
    moments = random.Random(0)
    reached = []
    assert server.run(source, whole)["error"] == ""
    # Spread over the run's first half, so that a kill that comes late leaves something to do.
    for goal in sorted(moments.randrange(PHOTOGRAPHS // 2) for _ in range(KILLS)):
        delay = moments.choice([0, moments.uniform(0, 0.02)])
        ended = server.run(source, killed, workers=2, killed=(goal, delay))
        assert ended["signal"] == signal.SIGKILL, ended["error"]
        reached.append(done(killed))
    assert server.run(source, killed, workers=2)["error"] == ""
    assert sum(count < PHOTOGRAPHS for count in reached) >= KILLS - 5, "kills came after the run's end"
    assert len({count // 16 for count in reached}) >= 4, "the kills fell into few shards only"
    assert files(killed) == files(whole)
    assert verify(killed, photographs=True) == []
    labels = LabelSet(killed)
    failed = [row["path"] for row in labels.errors]
    assert sorted([image.path for image in labels] + failed) == [f"{n:04}.png" for n in range(PHOTOGRAPHS)]
    assert len(failed) == BAD
    assert sum(len(image.masks) for image in labels) > PHOTOGRAPHS


def test_a_run_by_a_teacher_killed_at_ten_moments(tmp_path: Path) -> None:
    source, whole, killed = tmp_path / "photographs", tmp_path / "whole", tmp_path / "killed"
    pictures(source, 60, bad=2)
    moments = random.Random(0)
    reached = []
    with Server(TEACHER) as server:
        assert server.run(source, whole)["error"] == ""
        for goal in sorted(moments.randrange(30) for _ in range(10)):
            ended = server.run(source, killed, workers=2, killed=(goal, moments.uniform(0, 0.01)))
            assert ended["signal"] == signal.SIGKILL, ended["error"]
            reached.append(done(killed))
        assert server.run(source, killed, workers=2)["error"] == ""
    assert sum(count < 60 for count in reached) >= 8, "kills came after the run's end"
    assert files(killed) == files(whole)
    assert verify(killed, photographs=True) == []
    assert len(LabelSet(killed)) == 58
