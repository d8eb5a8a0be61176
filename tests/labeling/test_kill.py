"""A run over real photographs that is killed again and again ends with the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from fmbseg import LabelSet
from fmbseg.models.assets import AssetUnavailableError, fetch_mobilesam
from tests.models.photographs import photograph

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = """
import sys
import torch
from fmbseg import PseudoLabeler
from fmbseg.labeling.settings import LabelingSettings
torch.set_num_threads(1)
source, out, generator = sys.argv[1:]
options = {"points_per_side": 3, "threads": 1} if generator == "mobilesam" else {}
settings = LabelingSettings(short_side=224, min_crops=1)
labeler = PseudoLabeler(mask_generator=generator, mask_options=options, settings=settings)
labeler.label_image(torch.zeros(3, 64, 64), ["cat"])  # loads all that is loaded on first use
print("ready", flush=True)
labeler.label(source, ["cat", "coffee mug", "rocket", "person"], out, shard_size=4, progress=False)
"""


def crops(folder: Path, count: int) -> None:
    """Parts of real photographs, with one file among them that is none."""
    names = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"]
    for index in range(count):
        image = Image.fromarray(photograph(names[index % len(names)]))
        left, top = 7 * index, 5 * index
        image.crop((left, top, left + 240, top + 180)).save(folder / f"{index:02}.png")
    (folder / f"{count // 2:02}-bad.jpg").write_text("no photograph")


def start(source: Path, out: Path, generator: str) -> subprocess.Popen[str]:
    """Start a run and wait until its models are loaded."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, str(source), str(out), generator],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(source: Path, out: Path, generator: str) -> None:
    process = start(source, out, generator)
    process.communicate()
    assert process.returncode == 0


def position(out: Path) -> tuple[int, int]:
    """Shards there, and lines in the journal: it grows with every photograph."""
    journal = out / "journal.jsonl"
    try:
        lines = journal.read_bytes().count(b"\n")
    except FileNotFoundError:
        lines = 0
    return len(list(out.glob("shard-*"))), lines


def kill(process: subprocess.Popen[str], out: Path, *, after_progress: bool, delay: float) -> None:
    """Kill a run: some time after it began, or some time after its next photograph."""
    before = position(out)
    while after_progress and process.poll() is None and position(out) <= before:
        time.sleep(0.002)
    time.sleep(delay)
    assert process.poll() is None, "the run ended before it was killed: it proves nothing"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def check(tmp_path: Path, generator: str, photographs: int, kills: int) -> None:
    source = tmp_path / "photographs"
    source.mkdir()
    crops(source, photographs)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(source, whole, generator)
    moments = random.Random(0)
    for turn in range(kills):
        process = start(source, killed, generator)
        kill(process, killed, after_progress=turn % 2 == 1, delay=moments.uniform(0, 0.1))
    finish(source, killed, generator)

    assert files(killed) == files(whole)
    labels = LabelSet(killed)
    assert len(labels) == photographs
    assert sum(len(image.masks) for image in labels) > photographs
    assert [row["path"] for row in labels.errors] == [f"{photographs // 2:02}-bad.jpg"]


def test_killed_at_ten_moments(tmp_path: Path) -> None:
    check(tmp_path, "superpixels", photographs=20, kills=10)


def test_killed_with_mobilesam(tmp_path: Path) -> None:
    try:
        fetch_mobilesam()
    except AssetUnavailableError as error:
        pytest.skip(str(error))
    check(tmp_path, "mobilesam", photographs=5, kills=2)
