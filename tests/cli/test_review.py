"""``fmbseg review``: how far it is, and a label set of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.labels.label_set import LabelSet
from fmbseg.review.session import Review
from tests.labels.examples import assert_equal
from tests.labels.pictures import write_labels

if TYPE_CHECKING:
    from pathlib import Path


def test_status_and_bake(tmp_path: Path) -> None:
    folder = write_labels(tmp_path).folder
    anna = Review(folder, "Anna")
    anna.accept("a.png", "m0")
    anna.reject("a.png", "m1")
    anna.done("a.png")
    shown = CliRunner().invoke(app, ["review", "status", str(folder)])
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[:2] == [f"{folder}: 1 of 4 photographs done, 0 begun, 3 left", "decisions: Anna 3"]
    told = json.loads(CliRunner().invoke(app, ["review", "status", str(folder), "--json"]).stdout)
    assert told == anna.status().to_dict()
    assert sum(one["accepted"] + one["rejected"] for one in told["classes"].values()) == 2
    for name, one in told["classes"].items():
        (line,) = (line for line in lines if line.startswith(name))
        assert line.split()[-2 - (one["agreement"] is not None) + 1] == f"{one['agreement']:.0%}"

    baked = CliRunner().invoke(app, ["review", "bake", str(folder), "--out", str(tmp_path / "baked")])
    assert baked.exit_code == 0, baked.stderr
    for found, wanted in zip(LabelSet(tmp_path / "baked"), LabelSet(folder), strict=True):
        assert_equal(found, wanted)
