"""The benchmark of encoders at a small size, on one model of each library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_it_prints_one_object_and_measures_nothing_twice(tmp_path: Path) -> None:
    out = tmp_path / "backbones.json"
    command = [
        *(sys.executable, str(REPOSITORY / "benchmarks" / "backbones.py"), "--seconds", "0.1"),
        *("--size", "64", "--presets", "dino_vits16,dinov3_convnext_tiny", "--out", str(out)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == json.loads(out.read_text())
    assert set(result["overhead"]) == {"dino_vits16", "dinov3_convnext_tiny"}
    row = result["presets"]["dino_vits16"]
    assert row["pairs"] >= 3
    assert (row["size"], row["dim"]) == (64, 384)
    assert row["images_per_second"] > 0
    assert 0.05 < row["peak_memory_gb"] < 50
    row["overhead"] = 0.5
    out.write_text(json.dumps(result))
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(again.stdout.splitlines()[-1])["over_3_percent"].count("dino_vits16") == 1


def test_the_measured_result_covers_every_preset() -> None:
    from fmbseg.models.backbones.presets import PRESETS

    result = json.loads((REPOSITORY / "benchmarks" / "results" / "backbones.json").read_text())
    assert set(result["overhead"]) == set(PRESETS)
    assert all(row["pairs"] >= 2 for row in result["presets"].values())
