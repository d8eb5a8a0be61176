"""The benchmark of a run's scale, at toy size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import scale

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long


def test_a_run_at_toy_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--shards", "2", "4", "--workers", "1", "--photographs", "0", "--cost", "1e-6"]
    scale.main([*given, "--out", str(tmp_path / "out.json")])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (told["photographs"], told["shards"], len(told["runs"])) == (4000, [2, 4], 2)
    assert told["driver_gb"] > 0  # of the whole process, tests before this one included
    assert abs(told["overhead"]) < 0.01
    assert -2 < told["exponent"] < 3


def test_the_exponent_by_hand() -> None:
    assert scale.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
