"""The pre-filter's recall: by hand, and a run at toy size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from benchmarks import prefilter
from fmbseg.models.registries import IMAGE_TEXT
from tests.labeling.colours import ColourEncoder, painted

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_TEXT.register("colours-of-prefilter")(ColourEncoder)


def test_recall_by_hand() -> None:
    found = prefilter.recall(np.array([[2, 2], [1, 4], [0, 0]]))
    assert found["recall"] == 0.5  # 3 of 6
    assert found["all_kept"] == pytest.approx(2 / 3, abs=1e-5)
    # Of three photographs drawn anew, the second alone gives 1/4 and the first alone 1: each with a
    # probability of more than 5 % (the third adds nothing to either).
    assert (found["low"], found["high"]) == (0.25, 1)


def test_a_run_at_toy_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    red = painted((32, 32), red=(slice(0, 32), slice(0, 32)))
    mask = np.zeros((32, 32), np.uint8)
    mask[0] = 2  # one class is in sight, the other is not
    Image.fromarray(red).save(tmp_path / "images" / "a.png")
    Image.fromarray(mask + 1 - mask // 2).save(tmp_path / "masks" / "a.png")
    (tmp_path / "classes.txt").write_text("1\tred\n2\tblue\n", encoding="utf-8")
    (tmp_path / "manifest.csv").write_text("id,fold\na,val\n", encoding="utf-8")
    given = ["--data", str(tmp_path), "--image-text", "colours-of-prefilter", "--keep", "1", "2"]
    prefilter.main([*given, "--out", str(tmp_path / "out.json")])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (told["photographs"], told["shown"], told["classes"]) == (1, 2, 2)
    assert {keep: one["recall"] for keep, one in told["kept"].items()} == {"1": 0.5, "2": 1.0}
