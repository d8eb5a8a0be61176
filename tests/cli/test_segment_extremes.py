"""Very many words, very long ones and odd images through the command, with a small head."""

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from fmbseg.cli.main import app
from tests.cli.photographs import read_classes, write_photographs

RUNNER = CliRunner()


def test_what_cannot_be_written_is_told_before_any_work(head: Path, tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs")
    many = tmp_path / "many.txt"
    many.write_text("".join(f"word {index}\n" for index in range(100_000)), encoding="utf-8")
    command = ["segment", str(tmp_path / "photographs" / "cat.png"), "--head", "no such head"]
    out = ["--out", str(tmp_path / "out")]
    result = RUNNER.invoke(app, [*command, *out, "--vocabulary", str(many)])
    assert result.exit_code == 1
    assert "at most 65535 classes; these are 100001" in result.stderr
    alike = ["--classes", "old cat,old-cat,old/cat", "--heatmap", "old cat", "--heatmap", "old/cat"]
    result = RUNNER.invoke(app, [*command, *out, *alike])
    assert result.exit_code == 1
    assert "the heat maps of 'old cat' and 'old/cat' would have one file name" in result.stderr
    assert not (tmp_path / "out").exists()


def test_words_of_two_thousand_characters_and_an_image_of_one_row(head: Path, tmp_path: Path) -> None:
    word = "very " * 400 + "old cat"
    row = tmp_path / "row.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1, 5000), dtype=np.uint8)).save(row)
    command = ["segment", str(row), "--classes", f"{word},dog", "--heatmap", word, "--geojson"]
    result = RUNNER.invoke(app, [*command, "--head", str(head), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert read_classes(tmp_path / "out" / "row_classes.png").shape == (1, 5000)
    with Image.open(tmp_path / "out" / "row_overlay.jpg") as overlay:
        assert overlay.width < 1600 + 45 * 12  # a long word is cut in the legend
    assert len(list((tmp_path / "out").glob("row_heatmap_very_*.jpg"))) == 1
