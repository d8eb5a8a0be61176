"""A run over real photographs that is killed again and again ends with the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg import LabelSet
from fmbseg.models.loading.assets import fetch_mobilesam
from fmbseg.models.loading.errors import AssetUnavailableError
from tests.labeling.runs import Server, done
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork"),
]


def crops(folder: Path, count: int) -> None:
    """Parts of real photographs, with one file among them that is none."""
    names = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"]
    for index in range(count):
        image = Image.fromarray(photograph(names[index % len(names)]))
        left, top = 7 * index, 5 * index
        image.crop((left, top, left + 240, top + 180)).save(folder / f"{index:02}.png")
    (folder / f"{count // 2:02}-bad.jpg").write_text("no photograph")


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def check(tmp_path: Path, generator: str, photographs: int, kills: int) -> None:
    source = tmp_path / "photographs"
    source.mkdir()
    crops(source, photographs)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    moments = random.Random(0)
    kept: list[int] = []
    with Server(generator) as server:
        assert server.run(source, whole, shard_size=4)["error"] == ""
        for turn in range(kills):
            # A moment after its next photograph, or after it began.
            goal = 0 if turn % 2 else done(killed, 4) + 1
            ended = server.run(source, killed, shard_size=4, killed=(goal, moments.uniform(0, 0.1)))
            assert ended["signal"] == signal.SIGKILL, ended["error"]
            kept.append(done(killed, 4))
        assert server.run(source, killed, shard_size=4)["error"] == ""

    assert sum(count < photographs for count in kept) * 2 >= kills, "kills came after the run's end"
    assert files(killed) == files(whole)
    labels = LabelSet(killed)
    assert len(labels) == photographs
    assert sum(len(image.masks) for image in labels) > photographs
    assert [row["path"] for row in labels.errors] == [f"{photographs // 2:02}-bad.jpg"]


def test_killed_at_ten_moments(tmp_path: Path) -> None:
    check(tmp_path, "superpixels", photographs=9, kills=10)


def test_killed_with_mobilesam(tmp_path: Path) -> None:
    try:
        fetch_mobilesam()
    except AssetUnavailableError as error:
        pytest.skip(str(error))
    check(tmp_path, "mobilesam", photographs=3, kills=1)
