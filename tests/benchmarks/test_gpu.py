import json
from pathlib import Path

import pytest

from benchmarks import gpu


@pytest.mark.long
def test_every_part_is_measured_on_the_cpu_at_small_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    command = ["--shapes", "tiny", "--device", "cpu", "--photographs", "2", "--out", str(out)]
    command += ["--parts", *gpu.PARTS[:-1]]  # the last is the one before it with fewer points
    found = gpu.main(command)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == json.loads(out.read_text()) == found
    assert found["skipped"] == []
    assert found["classes"]["same_as_cpu"] == 1
    assert len(found["segment"]) == 2  # one side, two batches, one number of classes
    assert found["features"]["ratio"] > 0
    label = found["label_grid"]
    assert 0 <= label["outside"] < 1
    assert len(label["top"]) == 10
    assert sum(label["parts"].values()) + label["outside"] == pytest.approx(1, abs=1e-3)


def test_parts_that_there_is_no_time_for_are_named(tmp_path: Path) -> None:
    options = ["--shapes", "tiny", "--device", "cpu", "--photographs", "1", "--minutes", "0"]
    assert gpu.main([*options, "--out", str(tmp_path / "gpu.json")])["skipped"] == list(gpu.PARTS)
