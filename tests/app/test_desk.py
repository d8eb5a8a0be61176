"""What a reviewer's desk does with what a browser sends, without a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg.app.desk import Desk, painted
from fmbseg.app.exporting import FORMATS, export
from fmbseg.review.cutting import ThingCutter
from fmbseg.review.session import Review
from tests.labels.pictures import write_labels
from tests.review.test_cutting import Colours

if TYPE_CHECKING:
    from pathlib import Path

CUTTER = ThingCutter(Colours())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk()
    desk.begin(Review(write_labels(tmp_path).folder, "Anna"))
    return desk


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({}, "'None' is nothing that can be done"),
        ({"does": "__init__"}, "is nothing that can be done"),
        ({"does": ["accept"]}, "is nothing that can be done"),
        ({"does": "accept", "mask": "m99"}, "has no mask 'm99'"),
        ({"does": "rename", "mask": "m0", "name": "cow"}, "there is no class 'cow'"),
        ({"does": "keep", "name": "dog"}, "there is no draft"),
        ({"does": "cut", "inside": "x" * 3000}, "up to 2000 points"),
        ({"does": "cut", "inside": [[1]]}, "a point is two numbers"),
        ({"does": "cut", "inside": [[float("nan"), 1]]}, "a point is two numbers"),
        ({"does": "cut", "inside": [[1e9, 1]]}, "lies outside the photograph"),
        ({"does": "cut", "box": [[1, 1]]}, "a box has two corners"),
        ({"does": "brush", "stroke": [[1, 1]], "radius": 1e9}, "pixels wide"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(desk: Desk, message: Any, told: str) -> None:
    assert desk.review is not None
    with pytest.raises(ValueError) as error:
        desk.act(message, CUTTER)
    assert told in str(error.value)
    assert not desk.review.layer()


def test_before_a_label_set_is_chosen() -> None:
    assert json.loads(Desk().view())["masks"] == []
    with pytest.raises(ValueError, match="choose a label set"):
        Desk().act({"does": "accept", "mask": "m0"}, CUTTER)


def test_a_brush_adds_and_takes_away(desk: Desk) -> None:
    assert desk.review is not None
    assert desk.path is not None
    desk.act({"does": "brush", "stroke": [[2, 3], [6, 3]], "radius": 1}, CUTTER)
    desk.act({"does": "brush", "stroke": [[6, 3]], "radius": 2, "erase": True}, CUTTER)
    view = json.loads(desk.view())
    assert view["draft"].startswith("data:image/png")
    path = desk.path
    desk.act({"does": "keep", "name": " dog "}, CUTTER)
    size = desk.review.record(path).size
    wanted = painted([(2, 3), (6, 3)], 1, size) & ~painted([(6, 3)], 2, size)
    np.testing.assert_array_equal(desk.review.record(path).masks.decode(-1), wanted)
    assert json.loads(desk.view())["draft"] is None


def test_undo_drops_the_draft_first_and_goes_back_to_its_photograph(desk: Desk) -> None:
    assert desk.review is not None
    first = desk.path
    assert first is not None
    desk.act({"does": "done"}, CUTTER)
    second = desk.path
    assert second not in (None, first)
    desk.act({"does": "brush", "stroke": [[1, 1]], "radius": 2}, CUTTER)
    desk.act({"does": "undo"}, CUTTER)
    assert desk.path == second
    assert desk.review.status().done == 1
    desk.act({"does": "undo"}, CUTTER)
    assert (desk.path, desk.review.status().done) == (first, 0)
    desk.act({"does": "undo"}, CUTTER)
    assert desk.said == "there is nothing of yours to undo"


def test_steps_go_round_what_is_left(desk: Desk) -> None:
    assert desk.review is not None
    seen = []
    for _ in range(4):
        seen.append(desk.path)
        desk.act({"does": "step", "by": 1}, CUTTER)
    assert seen == desk.review.order()
    assert desk.path == seen[0]
    desk.act({"does": "step", "by": -1}, CUTTER)
    assert desk.path == seen[-1]
    for _ in range(4):
        desk.act({"does": "done"}, CUTTER)
    assert desk.review.status().left == 0
    assert desk.path is not None  # all may be looked at again


@pytest.mark.parametrize("words", FORMATS)
def test_exports_of_the_page(desk: Desk, tmp_path: Path, words: str) -> None:
    assert desk.review is not None
    done = export(desk.review.labels.folder, words, tmp_path / "out", 30, 1.5, True, True)
    assert done.masks > 0
    assert done.points > 0
    with pytest.raises(ValueError, match="is none of"):
        export(desk.review.labels.folder, "exe", tmp_path / "out", 0, 0, True, True)


def test_a_stroke_is_what_lies_near_its_line() -> None:
    ys, xs = np.indices((9, 12)) + 0.5
    dot = (xs - 4) ** 2 + (ys - 5) ** 2 <= 4
    np.testing.assert_array_equal(painted([(4, 5)], 2, (9, 12)), dot)
    line = painted([(2, 5), (9, 5)], 1, (9, 12))
    inside = (np.abs(ys - 5) <= 1) & (xs >= 2) & (xs <= 9)
    assert line[inside].all()
    assert not line[np.abs(ys - 5) > 1].any()
    assert not painted([], 3, (9, 12)).any()
    assert painted([(-50, 5), (50, 5)], 1, (9, 12))[4].all()
