"""Measuring on processes: the report of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.engines.engine import OnProcesses
from fmbseg.evaluation.evaluate import evaluate
from fmbseg.evaluation.on_engine import evaluate_on
from fmbseg.sources.stored_path import local
from tests.evaluation.red_channel import RedChannel

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.evaluation.datasets import SegmentationData


def files(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def test_a_process_measures_and_draws_what_this_one_does(data: SegmentationData, tmp_path: Path) -> None:
    # One image cannot be read; a run that was stopped after three images goes on.
    local(data.samples[4].image).write_bytes(b"no picture")
    whole = evaluate(RedChannel(), data, "paper", out=tmp_path / "whole", pictures=2)
    report = evaluate_on(OnProcesses(1), RedChannel, data, "paper", out=tmp_path / "run", pictures=2)
    assert report.figures == whole.figures
    assert [one["key"] for one in report.failures] == [data.samples[4].key]
    assert files(tmp_path / "run") == files(tmp_path / "whole")
    again = evaluate_on(OnProcesses(1), RedChannel, data, "paper", out=tmp_path / "run", pictures=2)
    assert again.figures == whole.figures
