"""Runs beside the paper's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmbseg.checksums import write_sealed_json
from fmbseg.evaluation.journal import RunError
from fmbseg.evaluation.table import table

if TYPE_CHECKING:
    from pathlib import Path


def write_run(folder: Path, data: str, miou: float, *, measured: int = 10, digest: str = "abc") -> Path:
    folder.mkdir()
    report = {
        "model": {"backbone": "dinov2", "head_sha256": digest * 20},
        "data": {"name": data, "of": 10},
        "protocol": {"name": "paper"},
        "part": [1, 1],
        "measured": measured,
        "figures": {"miou": miou},
    }
    write_sealed_json(folder / "report.json", report)
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_a_row_for_each_head_and_the_papers_columns(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", "voc21", 0.6773),
        write_run(tmp_path / "b", "ade20k150", 0.1, measured=3),
        write_run(tmp_path / "c", "folder", 0.25, digest="def"),
    ]
    lines = table([runs[0], runs[1] / "report.json", runs[2]]).splitlines()
    columns = ["PV-21", "PV-20", "PC-59", "CO-80", "CS-171", "City", "ADE", "folder"]
    assert cells(lines[0]) == ["method", *columns]
    assert len({len(cells(line)) for line in lines[:14]}) == 1
    paper = next(line for line in lines if line.startswith("| FMbSeg"))
    assert cells(paper) == ["FMbSeg", "67.73", "85.65", "42.72", "57.63", "29.88", "28.37", "16.25", "-"]
    assert cells(lines[12]) == ["dinov2 abcabcab, paper", "67.73", *"-----", "10.00†", "-"]
    assert cells(lines[13]) == ["dinov2 defdefde, paper", *"-------", "25.00"]


def test_names_of_sets_and_models_stay_in_their_cells(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "a | b\n<script>", 0.5)
    lines = table([run]).splitlines()
    assert lines[0].endswith(r"| ADE | a \| b &lt;script&gt; |")
    assert len(lines) == 15


def test_without_runs_it_is_the_papers() -> None:
    assert sum(line.startswith("| ") for line in table([]).splitlines()) == 12  # with the heads and the rule


def test_runs_that_do_not_fit(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "voc21", 0.5)
    with pytest.raises(RunError, match="voc21 is there twice"):
        table([run, run])
    with pytest.raises(RunError, match=r"nothing is not a finished run: .*fmbseg eval"):
        table([tmp_path / "nothing"])
