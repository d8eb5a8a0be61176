"""Methods together give the class maps that they give alone, and take less where they share a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from benchmarks import compare_cost, zoo
from fmbseg.checksums import write_sealed_json
from tests.methods.contract import recipe

if TYPE_CHECKING:
    from pathlib import Path

assert recipe


@pytest.mark.usefixtures("recipe")
def test_it_runs_and_its_last_line_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "classes.txt").write_text("1\tred\n2\tgreen\n")
    (tmp_path / "manifest.csv").write_text("id,fold\na,val\nb,val\nc,val\n")
    random = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            tmp_path / "images" / f"{name}.png"
        )
        Image.fromarray(np.ones((64, 64), np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    command = ["--data", str(tmp_path), "--photographs", "2"]
    compare_cost.main([*command, "--methods", "stage1:colours@1.1", "stage1:colours"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["class_maps_equal"]
    assert told["photographs"] == 2
    assert set(told["methods"]) == {"stage1:colours@1.1", "stage1:colours"}
    assert told["encodes"]["together"] < told["encodes"]["alone"]
    assert told["ratio_90"][0] <= told["ratio"] <= told["ratio_90"][1]


def test_a_heads_row_is_what_its_files_say(tmp_path: Path) -> None:
    measured = {"miou": 0.25, "interval": [0.2, 0.3]}
    seconds = {"aligned_alone": {"seconds_per_image": 1.43}}
    told = dict(zip(zoo.HEADS, zoo.row("offline", measured, seconds), strict=True))
    assert told["name"] == "`offline`"
    assert told["teacher"] == "conse + mobilesam"
    assert (told["words"], told["photographs"]) == ("993", "1,000")
    assert told["mIoU, %"] == "25.0 (20.0 to 30.0)"
    assert told["licence"].startswith("apache-2.0")
    write_sealed_json(tmp_path / "report.json", {"measured": 3, "data": {"of": 4}, "part": [1, 1]})
    with pytest.raises(ValueError, match="is of 3 of 4 photographs: measure all"):
        zoo.kept(tmp_path, "val")
