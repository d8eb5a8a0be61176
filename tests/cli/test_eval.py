"""The command against the Python API and two merged halves, on real photographs with a trained head."""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg.checksums import write_sealed_json
from fmbseg.cli.main import app
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.evaluate import evaluate
from fmbseg.segmentation.segmenter import OpenVocabSegmenter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Chain

RUNNER = CliRunner()
PHOTOGRAPHS = 2


@pytest.fixture
def few(shared_data: Path, tmp_path: Path) -> Path:
    """The first validation photographs of the development data, halved in size for time's sake."""
    source, root = shared_data / "coco", tmp_path / "coco"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    shutil.copyfile(source / "classes.txt", root / "classes.txt")
    rows = list(csv.DictReader((source / "manifest.csv").read_text(encoding="utf-8").splitlines()))
    keys = [row["id"] for row in rows if row["fold"] == "val"][:PHOTOGRAPHS]
    (root / "manifest.csv").write_text("id,fold\n" + "".join(f"{key},val\n" for key in keys))
    for key in keys:
        with Image.open(source / "images" / f"{key}.jpg") as image:
            size = (image.width // 2, image.height // 2)
            image.resize(size).save(root / "images" / f"{key}.jpg")
        with Image.open(source / "masks" / f"{key}.png") as mask:
            mask.resize(size, Image.Resampling.NEAREST).save(root / "masks" / f"{key}.png")
    return root


@pytest.mark.long  # the fixture `chain` labels and trains
def test_command_python_and_two_halves_say_the_same(chain: Chain, few: Path, tmp_path: Path) -> None:
    command = ["eval", str(chain.head), "--data", "folder", "--root", str(few), "--protocol", "paper"]
    result = RUNNER.invoke(app, [*command, "--out", str(tmp_path / "whole"), "--pictures", "1"])
    assert result.exit_code == 0, result.output
    assert f"{PHOTOGRAPHS} images (0 failed)" in result.stdout
    assert f"{tmp_path / 'whole' / 'report.html'}: the report" in result.stdout
    told = json.loads((tmp_path / "whole" / "report.json").read_text())
    assert told["measured"] == PHOTOGRAPHS
    assert told["protocol"]["class_count"] == 80
    assert f"mIoU {100 * told['figures']['miou']:.2f}" in result.stdout

    assert len(told.pop("sha256")) == 64
    mine = evaluate(OpenVocabSegmenter.from_pretrained(chain.head), open_data("folder", few), "paper")
    assert json.loads(json.dumps(mine.to_dict())) == told

    halves = [str(tmp_path / name) for name in ("first", "second")]
    for number, half in enumerate(halves, start=1):
        done = RUNNER.invoke(app, [*command, "--part", f"{number}/2", "--out", half, "--pictures", "1"])
        assert done.exit_code == 0, done.output
    joined = ["eval", "--merge", *halves, "--out", str(tmp_path / "joined"), "--pictures", "1"]
    assert RUNNER.invoke(app, joined).exit_code == 0
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    again = RUNNER.invoke(app, [*command, "--out", str(tmp_path / "whole")])  # nothing is left to do
    assert again.exit_code == 0
    assert again.stdout == result.stdout

    table = RUNNER.invoke(app, ["eval", "--table", halves[0], str(tmp_path / "joined")])
    assert table.exit_code == 1  # the half is of the same head, protocol and set
    assert "is there twice" in table.stderr
    table = RUNNER.invoke(app, ["eval", "--table", str(tmp_path / "joined"), "--out", str(tmp_path / "t.md")])
    assert table.exit_code == 0
    assert "| FMbSeg | 67.73 |" in table.stdout
    assert (tmp_path / "t.md").read_text() in table.stdout


@pytest.mark.long  # the fixture `chain` labels and trains
def test_a_mask_that_is_wrong_is_told_and_strict_fails(chain: Chain, few: Path, tmp_path: Path) -> None:
    masks = sorted((few / "masks").iterdir())
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(masks[0])
    command = ["eval", str(chain.head), "--data", "folder", "--root", str(few), "--limit", "2", "--strict"]
    result = RUNNER.invoke(app, [*command, "--out", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert f"not measured: {masks[0].stem}: {masks[0]} has size (3, 3)" in result.stderr
    assert "1 images (1 failed)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["head"], "--out"),
        (["head", "--out", "run"], "--data"),
        (["a", "b", "--data", "voc21", "--root", "x", "--out", "run"], "give one method"),
        (["a", "--merge", "--table"], "one of --merge, --table"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["eval", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "voc-21"], "there is no data set 'voc-21'; did you mean 'voc21'"),
        (["--data", "voc21"], "none of these exists: "),
        (["--data", "folder"], "classes.txt cannot be read"),
    ],
)
def test_sets_that_are_not_there(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = RUNNER.invoke(
        app, ["eval", "head", *arguments, "--root", str(tmp_path), "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "papers"], "there is no protocol 'papers'; did you mean 'paper'"),
        (["--names", "absent.txt"], "absent.txt"),
        (["--part", "4/4"], "part 4/4 of 2 images has none"),
        (["--limit", "0"], "limit is 0"),
        (["--split", "test"], "has no photograph of fold 'test'"),
        ([], "run holds files but no run.json: give a new folder"),
    ],
)
def test_what_is_wrong_is_said_before_the_head_is_looked_for(
    few: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    command = ["eval", "no/such/head", "--data", "folder", "--root", str(few), "--out", str(tmp_path / "run")]
    result = RUNNER.invoke(app, [*command, *arguments])
    assert result.exit_code == 1
    assert message in result.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_table_replaces_no_file_of_others(tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    command = ["eval", "--table", str(tmp_path / "run"), "--out", str(out)]
    (tmp_path / "run").mkdir()
    write_sealed_json(
        tmp_path / "run" / "report.json",
        {
            "model": {"backbone": "b", "head_sha256": "0" * 64},
            "data": {"name": "voc21", "of": 1},
            "protocol": {"name": "paper"},
            "part": [1, 1],
            "measured": 1,
            "figures": {"miou": 0.5},
        },
    )
    for _ in range(2):  # its own it may replace
        assert RUNNER.invoke(app, command).exit_code == 0
    out.write_text("mine")
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 1
    assert "table.md was changed since fmbseg wrote it" in result.stderr
    assert out.read_text() == "mine"


def test_files_that_are_passed_over_are_told_and_count_for_strict(head: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        Image.new("L", (32, 32), 1).save(root / folder / "a.png")
    (root / "classes.txt").write_text("0\tcat\n1\tdog\n")
    command = ["eval", str(head), "--data", "folder", "--root", str(root), "--strict"]
    assert RUNNER.invoke(app, [*command, "--out", str(tmp_path / "all")]).exit_code == 0
    (root / "images" / "b.HEIC").touch()
    result = RUNNER.invoke(app, [*command, "--out", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "warning: 1 file was passed over (1 .heic: b.HEIC)" in result.stderr
    (root / "manifest.csv").write_text("id,fold\na,val\n")  # this says what counts
    assert RUNNER.invoke(app, [*command, "--out", str(tmp_path / "listed")]).exit_code == 0
