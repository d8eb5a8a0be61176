"""What labelling would take, told from a sample."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fmbseg.labeling.estimate import Estimate, estimate
from fmbseg.reasons import Reasons
from fmbseg.sources.opened import open_source
from fmbseg.vocabulary import Vocabulary
from tests.labeling.runs import make_labeler, pictures

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_worked_out_by_hand() -> None:
    # 2 s a photograph on average; 200 bytes a photograph.
    measured = Estimate(90_000, 5.0, (1.0, 2.0, 3.0), 600, Reasons())
    assert measured.mean == 2
    assert measured.hours() == 50
    assert measured.hours(workers=8) == 6.25
    assert measured.gigabytes() == pytest.approx(0.018)
    low, high = measured.interval
    assert 1 < low < 2 < high < 3
    told = measured.told([1, 8], 1.2).splitlines()
    assert re.fullmatch(
        r"3 of 90000 photographs: 2 s each \(90 %: 1\.\d+ to 2\.\d+; from 1 to 3\), the first after 5 s",
        told[0],
    )
    assert told[1] == "all 90000: 2.08 days with 1 worker, 6.25 h with 8 workers; 18 MB of labels"
    # 2,000,000 s are 555.6 hours, 666.7 at 1.20.
    assert told[2] == "a million: 555.6 worker hours, 666.7 at 1.2 a machine hour; 200 MB of labels"


def test_a_sample_is_spread_over_all_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "photographs"
    pictures(source, 40, bad=2)
    labeler = make_labeler("stand-ins")
    found = open_source(source)
    measured = estimate(labeler, found, Vocabulary.of(["red", "blue"]), sample=10)
    assert (measured.photographs, len(measured.seconds)) == (40, 10)
    assert measured.failures == {"is not an image that Pillow can read": 1}  # of the last four, one in four
    assert measured.bytes > 1000
    assert all(seconds > 0 for seconds in measured.seconds)
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]
    assert len(list(source.iterdir())) == 40
    with pytest.raises(ValueError, match="sample is 1"):
        estimate(labeler, found, Vocabulary.of(["red"]), sample=1)
