"""The benchmark at toy size: what it prints, and its sums."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from benchmarks.feature_cache import main, summary
from fmbseg.models.registries import BACKBONES
from tests.aligned.tiny import TinyBackbone
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path


def test_it_trains_on_photographs_and_prints_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        Image.fromarray(photograph(name)).resize((96, 64)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(BACKBONES, "create", lambda _name, weights: TinyBackbone())
    out = tmp_path / "results" / "one.json"
    given = ["--photographs", str(tmp_path), "--count", "2", "--image-size", "64", "--epochs", "3"]
    main([*given, "--out", str(out)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result == json.loads(out.read_text())
    assert (result["photographs"], result["patches"]) == (2, 2 * 8 * 12)
    assert len(result["epochs"]) == 3
    for epoch in result["epochs"]:
        assert 0 < epoch["features_seconds"] <= epoch["seconds"]
    assert result["features_ratio"] > 0


def test_later_epochs_are_their_median_over_the_first() -> None:
    epochs = [{"seconds": s, "features_seconds": f} for s, f in ((10, 8), (5, 0.4), (2, 0.2), (3, 0.3))]
    found = summary(epochs)
    assert (found["epoch_ratio"], found["features_ratio"]) == (0.3, 0.0375)


def test_one_epoch_has_nothing_to_compare_with(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--photographs", str(tmp_path), "--epochs", "1"])
