"""Plans are data: what they do, in which order, and what is refused before any work."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fmbseg.reproduce import ablation, table_1
from fmbseg.reproduce.plan import Evaluate, Fit, Label
from fmbseg.unknown_name import UnknownNameError


@pytest.mark.parametrize(
    ("kind", "heads", "rows"),
    [("stage", 3, 6), ("draw", 4, 4), ("labels", 2, 4), ("loss", 6, 6), ("finetune", 2, 2)],
)
def test_ablations_are_plans(kind: str, heads: int, rows: int) -> None:
    plan = ablation(kind, "base")
    assert sum(isinstance(step, Fit) for step in plan.steps) == heads
    assert len(plan.rows) == rows
    names = [step.name for step in plan.steps]
    assert len(set(names)) == len(names)
    for place, step in enumerate(plan.steps):
        assert set(step.needs) <= set(names[:place])
    assert {name for row in plan.rows for name in row.cells.values()} == {
        step.name for step in plan.steps if isinstance(step, Evaluate)
    }


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: table_1("bsae"), UnknownNameError, "did you mean 'base'"),
        (lambda: table_1("base", ["voc2"]), UnknownNameError, "there is no data set 'voc2'"),
        (lambda: table_1("base", ["voc21", "voc21"]), ValueError, "name each of one or more once"),
        (lambda: table_1("base", []), ValueError, "the sets are none"),
        (lambda: table_1("base", limit=0), ValueError, "limit is 0"),
        (lambda: table_1("base", beside=["stage1:bsae"]), UnknownNameError, "there is no recipe 'bsae'"),
        (lambda: ablation("losses"), UnknownNameError, "did you mean 'loss'"),
    ],
)
def test_wrong_names_are_refused(make: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        make()


def test_a_plan_says_what_each_step_depends_on() -> None:
    plan = table_1("paper", ["voc21"])
    assert plan.whole
    assert plan.title == "fmbseg, recipe paper"
    label, fit, measure = plan.steps
    assert isinstance(label, Label)
    told = [plan.to_dict(step) for step in (label, fit, measure)]
    assert told[0]["settings"]["keep_fraction"] == 0.75
    assert told[1]["settings"]["epochs"] == 10
    assert told[2]["protocol"] == "paper"
    offline = table_1("offline", ["voc21"])  # whose settings hold curves
    assert json.loads(json.dumps(offline.to_dict(offline.steps[0])))["settings"]["mask_curve"]
