import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import loading


def test_both_ways_keep_the_same_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for number in range(4):
        pixels = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
    command = ["--photographs", str(tmp_path), "--image-size", "28", "--at-once", "2", "--quick"]
    found = loading.main([*command, "--out", str(tmp_path / "out.json")])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert found["photographs"] == 4
    assert found["largest_difference"] < 0.01
    assert found["reading"]["equal_pixels"] == 4
    assert 0 <= found["waited"] < 1
