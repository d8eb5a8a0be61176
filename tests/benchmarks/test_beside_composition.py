import json
from pathlib import Path

import pytest

from benchmarks import beside_composition


def test_both_sides_find_the_same_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "beside.json"
    command = ["--backbone", "vit_tiny_patch16_224", "--text-dim", "16", "--cases", "32x48_3"]
    found = beside_composition.main([*command, "--turns", "2", "--out", str(out)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == json.loads(out.read_text()) == found
    case = found["32x48_3"]
    for kind in ("linear", "block"):
        assert case[kind]["same_classes"] == 1
        least, most = case[kind]["parts_spread"]
        assert 0 < least <= case[kind]["parts_ratio"] <= most
    # Of twelve blocks, which see six patches and a class token, one more sees the six.
    assert 0 < case["linear"]["flops_share"] < 0.01
    assert case["block"]["flops_share"] == pytest.approx(6 / 7 / 12, rel=0.1)
