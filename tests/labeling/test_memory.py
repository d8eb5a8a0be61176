"""The memory of a run does not grow with the number of photographs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fmbseg import LabelSet
from tests.labeling.runs import pictures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.labeling.runs import Server

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork"),
]


def test_a_thousand_photographs_take_what_a_hundred_take(tmp_path: Path, server: Server) -> None:
    peaks = {}
    for count in (100, 1000):
        out = tmp_path / f"labels {count}"
        pictures(tmp_path / f"{count}", count)
        ended = server.run(tmp_path / f"{count}", out, shard_size=1000, workers=2)
        assert ended["error"] == ""
        assert len(LabelSet(out)) == count
        peaks[count] = ended["memory"]
    assert peaks[1000] < 1.1 * peaks[100], peaks
