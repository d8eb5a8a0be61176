"""The benchmark of TSupCon's forms at a small size: what it prints, and that memory tells the forms apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tsupcon import exponents, problem

REPOSITORY = Path(__file__).resolve().parents[2]


def test_exponents_are_those_of_powers() -> None:
    rows = [
        {
            "patches": n,
            "clear_seconds": 3 * n**2,
            "clear_extra_gb": n**2.5,
            "blocked_seconds": n**1.5 / 7,
            "blocked_extra_gb": 0.1 * n,
        }
        for n in (100, 300, 900)
    ]
    assert exponents(rows) == {
        "clear": {"time": 2.0, "memory": 2.5},
        "blocked": {"time": 1.5, "memory": 1.0},
    }


def test_the_patches_are_unit_vectors_near_their_class() -> None:
    patches, labels, prototypes = problem((5000, 64, 7))
    assert patches.norm(dim=1).tolist() == pytest.approx([1.0] * 5000, abs=1e-5)
    assert (patches @ prototypes.T).argmax(dim=1).eq(labels).float().mean() > 0.95


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_a_small_run(tmp_path: Path) -> None:
    sizes = ["--patches", "2400", "--dims", "32", "--classes", "16", "--large", "6000", "--pairs", "1"]
    done = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "benchmarks/tsupcon.py"),
            *sizes,
            "--out",
            str(tmp_path / "r.json"),
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert json.loads((tmp_path / "r.json").read_text()) == result
    assert [row["patches"] for row in result["over_patches"]] == [600, 1200, 2400]
    assert result["time_ratio"] > 0
    assert result["memory_ratio"] < 0.5
    assert 0 < result["gb_at_6000_patches"] < 6000**2 * 4 / 1e9  # one matrix of all pairs alone is more
    growth = result["growth_exponents"]
    assert growth["blocked"]["memory"] < growth["clear"]["memory"]
    assert result["largest_gradient_difference"] < 1e-5
