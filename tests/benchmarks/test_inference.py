"""The benchmark at toy size: what it prints, and its sums."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.inference import main, parse, size_of, slope
from benchmarks.random_models import RandomBackbone
from fmbseg.models.contracts import Backbone

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_backbone_keeps_to_the_contract() -> None:
    backbone = RandomBackbone("vit_tiny_patch16_224", img_size=64)
    assert isinstance(backbone, Backbone)
    assert (backbone.dim, backbone.stride) == (192, 16)
    pixels = torch.rand(2, 3, 48, 80)
    features = backbone.encode(pixels)
    assert features.shape == (2, 192, 3, 5)
    whole = backbone._model.forward_features(pixels)[0, 1:]  # after the class token, row by row
    torch.testing.assert_close(features[0, :, 1, 2], whole[1 * 5 + 2])


def test_slopes_and_sizes() -> None:
    assert slope([(2, 3), (4, 7), (8, 48)]) == pytest.approx(2)
    assert size_of(0.03) == (150, 200)
    assert parse([]).classes == [20, 171, 1000]


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs a system that tells peak memory"
)
@pytest.mark.long
def test_the_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))  # of the processes that it starts
    toy = ["--backbone", "vit_tiny_patch16_224", "--side", "64", "--text-dim", "16", "--repeats", "2"]
    sizes = ["--classes", "5", "200", "--megapixels", "0.05", "0.1", "--plain", "200", "0.2"]
    most = ["--most-classes", "9", "--most-megapixels", "0.1", "--out", str(tmp_path / "new" / "result.json")]
    main([*toy, *sizes, *most, "--threads", "1"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "new" / "result.json").read_text()) == result
    seconds = result["processor_s"]
    assert result["overhead_parts"] == pytest.approx(1 + seconds["rest"] / seconds["bare"], rel=0.1)
    for name in ("overhead", "overhead_clock"):
        least, most = result[f"{name}_spread"]
        assert 0 < least <= result[name] <= most
    assert 0 < result["memory_ratio"] < 1
    # All classes at every pixel, in float32, but for what the process had to spare.
    assert result["memory_ratio_at"]["plain_gb"] > 0.9 * 200 * 0.2e6 * 4 / 1e9
    assert result["gb_at_1000_classes_12_megapixels"] is None
    assert result["gb_at_most"] > 0
    assert len(result["points"]) == 4
    assert set(result["exponents"]) == {
        f"{figure}_by_{axis}"
        for figure in ("seconds", "memory", "work_memory")
        for axis in ("classes", "pixels")
    }
