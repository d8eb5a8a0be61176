import json
import sys
from pathlib import Path

import pytest

from benchmarks import training


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_both_ways_learn_the_same_and_only_the_former_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "training.json"
    command = ["--cases", "tiny", "--photographs", "6", "--epochs", "1", "--out", str(out)]
    found = training.main(command)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == json.loads(out.read_text()) == found
    assert found["tiny"]["steps"] == 2
    assert found["tiny"]["time_ratio"] > 0
    assert 0 < found["tiny"]["largest_difference"] < 1e-5  # equal but for rounding
    assert found["tiny"]["waits_a_step"]["now"] == 0 < found["tiny"]["waits_a_step"]["former"]
    assert all(gb > 0 for gb in found["tiny"]["peak_process_gb"].values())
