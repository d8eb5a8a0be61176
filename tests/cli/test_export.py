import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fmbseg.cli.main import app
from tests.cli.photographs import read_classes, write_photographs

RUNNER = CliRunner()


def test_an_exported_file_segments_like_its_head(head: Path, tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs")
    file = tmp_path / "head.onnx"
    result = RUNNER.invoke(app, ["export", str(head), "--out", str(file)])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{file}: any size, at most ")
    for source, out in ((head, "by_head"), (file, "by_file")):
        command = ["segment", str(tmp_path / "photographs"), "--classes", "cat,rocket,sky"]
        done = RUNNER.invoke(app, [*command, "--head", str(source), "--out", str(tmp_path / out)])
        assert done.exit_code == 0, done.output
    for name in ("cat", "rocket"):
        maps = [read_classes(tmp_path / out / f"{name}_classes.png") for out in ("by_head", "by_file")]
        assert np.mean(maps[0] == maps[1]) >= 0.999


def test_a_package_that_is_missing_is_told_on_one_line(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = RUNNER.invoke(app, ["export", str(head), "--out", str(tmp_path / "head.onnx")])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["error: exporting to ONNX needs onnx: pip install 'fmbseg[onnx]'"]


def test_torch_export_and_a_fixed_size(head: Path, tmp_path: Path) -> None:
    file = tmp_path / "head.pt2"
    result = RUNNER.invoke(app, ["export", str(head), "--out", str(file), "--size", "32", "48"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{file}: 32 x 48 pixels\n"
    assert file.stat().st_size > 0


def test_another_ending_is_a_usage_error(head: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["export", str(head), "--out", str(tmp_path / "head.bin")])
    assert result.exit_code == 2
    assert "must end in .onnx or .pt2" in " ".join(result.stderr.replace("│", "").split())
