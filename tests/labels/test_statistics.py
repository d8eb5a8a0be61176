"""Counts by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.record import EVERYTHING_STAGE, HAND_STAGE, POINT_STAGE
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import empty_record, manifest, record

if TYPE_CHECKING:
    from pathlib import Path


def test_counts_by_class_and_stage(tmp_path: Path) -> None:
    with LabelWriter(tmp_path, manifest(3)) as writer:
        for one in (record("0.jpg"), empty_record("1.jpg"), record("2.jpg")):
            writer.append(one)
    found = LabelSet(tmp_path).statistics()
    assert (found.photographs, found.without_class, found.without_mask) == (3, 1, 1)
    assert found.detected == {"b": 2, "e": 2}
    assert list(found.masks) == ["b", "e"]
    assert list(found.masks["e"]) == ["1.1", "1.2"]
    points, everything = found.masks["e"]["1.1"], found.masks["e"]["1.2"]
    assert (points.masks, points.kept, points.photographs) == (2, 2, 2)
    assert (everything.masks, everything.kept, everything.photographs) == (2, 0, 2)
    assert points.area == pytest.approx(16 / 24)
    assert everything.area == pytest.approx(8 / 24)
    assert everything.predicted_iou == pytest.approx(0.95)
    assert everything.similarity == pytest.approx(1 / 3)
    # Kept: 16 pixels and 4 within them, of 24; in two photographs of three.
    assert found.coverage == pytest.approx(2 / 3 * 16 / 24)
    assert found.unknown == pytest.approx(1 - 2 / 3 * 16 / 24)
    assert found.with_unknown == 3
    assert [found.count(stage) for stage in (POINT_STAGE, EVERYTHING_STAGE, HAND_STAGE)] == [4, 2, 0]
    assert found.to_dict()["unknown"] == found.unknown
    assert json.loads(json.dumps(found.to_dict()))["masks"]["b"]["1.1"]["masks"] == 2
