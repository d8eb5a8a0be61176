"""Starts are timed in fresh processes, and compared round by round."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchmarks import imports
from benchmarks.imports import ROOT, STARTS, Took, ratio, took

if TYPE_CHECKING:
    from pathlib import Path


def test_a_process_is_timed_and_takes_the_checkout_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "fmbseg.py").write_text("sum(range(10**6))")
    seconds = took(f"import fmbseg; assert fmbseg.__file__.startswith({str(tmp_path)!r})", tmp_path)
    assert seconds.processor > 0
    assert seconds.wall > 0
    with pytest.raises(subprocess.CalledProcessError):
        took(f"import fmbseg; assert fmbseg.__file__.startswith({str(tmp_path)!r})", ROOT)


def test_the_middle_of_the_rounds_counts() -> None:
    ours = [Took(0, seconds) for seconds in (1.0, 2.0, 3.0, 4.0, 90.0)]
    assert ratio(ours, [Took(0, 2.0)] * 5) == {"ratio": 1.5, "middle_half": [1.0, 2.0]}


def test_all_are_started_in_turn_and_compared_with_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = []

    def given(code: str, checkout: Path) -> Took:
        order.append((code, checkout))
        return Took(1.0, {"pass": 2.0, "import numpy": 4.0}.get(code, 8.0 if checkout == ROOT else 16.0))

    monkeypatch.setattr(imports, "took", given)
    out = tmp_path / "imports.json"
    found = imports.main(["--rounds", "2", "--before", str(tmp_path), "--out", str(out)])
    assert found == json.loads(out.read_text()) == json.loads(capsys.readouterr().out)
    assert {name: found["starts"][name]["ratio"] for name in STARTS} == {
        "import fmbseg": 4.0,
        "fmbseg --help": 2.0,
        "fmbseg label --help": 2.0,
        "from fmbseg import OpenVocabSegmenter": 1.0,
    }
    assert {one["ratio"] for one in found["now_over_before"].values()} == {0.5}
    assert found["before"] == tmp_path.name  # no checkout of git
    kinds = 3 + 2 * len(STARTS)
    assert len(order) == 3 * kinds
    assert order[:kinds] == order[kinds : 2 * kinds][::-1] == order[2 * kinds :]


def test_what_is_started_is_there() -> None:
    """The lightest and the help run; the last one imports torch, which others do often enough."""
    for name in ("import fmbseg", "fmbseg label --help"):
        assert took(STARTS[name].code, ROOT).processor > 0
