"""Methods of every kind side by side: the figures that each has alone, and heads that lack their weights."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg.checksums import read_sealed_json
from fmbseg.cli.main import app
from tests.methods.contract import IMAGE, recipe
from tests.methods.tiny import save_head

if TYPE_CHECKING:
    from pathlib import Path

assert recipe  # its import registers what the tests name
pytestmark = pytest.mark.usefixtures("recipe")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_head(tmp_path_factory.mktemp("heads") / "head")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures in red, green and something else, with masks that say so."""
    root = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    (root / "classes.txt").write_text("1\tred\n2\tgreen\n3\tblue\n255\tignore\n")
    for index in range(3):
        noise = random.integers(0, 60, IMAGE.shape, dtype=np.uint8)
        image = np.roll(IMAGE // 2 + noise, 16 * index, axis=1)
        Image.fromarray(image).save(root / "images" / f"{index}.png")
        Image.fromarray((image.argmax(axis=2) + 1).astype(np.uint8)).save(root / "masks" / f"{index}.png")
    return root


def run(*command: object) -> str:
    done = CliRunner().invoke(app, [str(one) for one in command])
    assert done.exit_code == 0, done.output
    return done.stdout + done.stderr


def test_eval_one_by_one_has_the_figures_of_compare(photographs: Path, head: Path, tmp_path: Path) -> None:
    specs = ["dense:counted-colours", "stage1:colours", str(head), f"{head}@colours"]
    on = ["--data", "folder", "--root", photographs, "--protocol", "own"]
    run("compare", *specs, *on, "--out", tmp_path / "compared")
    compared = json.loads((tmp_path / "compared" / "comparison.json").read_text())["methods"]
    assert [one["method"] for one in compared] == specs
    assert len({one["figures"]["miou"] for one in compared}) > 1
    for number, one in enumerate(compared):
        run("eval", one["method"], *on, "--out", tmp_path / str(number))
        alone = read_sealed_json(tmp_path / str(number) / "report.json")
        for part in ("figures", "intervals", "per_class", "images"):
            assert alone[part] == one[part]


def test_compare_goes_on_without_a_head_whose_weights_are_gone(photographs: Path, tmp_path: Path) -> None:
    broken = save_head(tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    told = run(
        *("compare", "dense:counted-colours", broken, "stage1:colours", "--data", "folder"),
        *("--root", photographs, "--out", tmp_path / "run"),
    )
    assert re.search(r"broken +could not run", told)
    assert re.search(r"left out: .*broken.*model\.safetensors", told)
    page = (tmp_path / "run" / "comparison.md").read_text()
    assert "could not run:" in page
    assert "model.safetensors" in page.replace("\\", "")
    assert "| stage1:colours |" in page
