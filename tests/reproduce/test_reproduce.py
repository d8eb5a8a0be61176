"""Table 1 end to end on tiny sets, its models from a Hub on loopback: resumed, in parts, and forecast."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.evaluation.journal import RunError
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.evaluation.table import COLUMNS
from fmbseg.part import Part
from fmbseg.reproduce import Waiting, ablation, reproduce, table_1
from fmbseg.reproduce.forecast import forecast
from fmbseg.reproduce.run import _Run
from tests.hub.client import turn_to
from tests.hub.server import running_hub
from tests.recipes.tiny_hub import serve, shrink
from tests.reproduce.tiny_sets import seven_sets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fmbseg.reproduce.result import ReproducedTable

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
BESIDE = "stage1:base@1.2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduce")


@pytest.fixture(scope="module", autouse=True)
def hub(home: Path) -> Iterator[None]:
    with running_hub() as server, pytest.MonkeyPatch.context() as patch:
        turn_to(server, home, patch)
        shrink(patch)
        patch.setenv("FMBSEG_HOME", str(home / "fmbseg"))
        serve(server, "base", home / "made")
        yield


@pytest.fixture(scope="module")
def root(home: Path) -> Path:
    return seven_sets(home / "data")


@pytest.fixture(scope="module")
def whole(root: Path, home: Path) -> tuple[Path, ReproducedTable]:
    """One run of everything, without a stop."""
    return home / "whole", reproduce(table_1("base", beside=[BESIDE]), root, home / "whole", device="cpu")


def test_the_table_has_a_row_beside_the_printed_ones(whole: tuple[Path, ReproducedTable]) -> None:
    out, table = whole
    rows = table.rows()
    assert [row[0] for row in rows] == [
        "MaskCLIP (printed)",
        "FMbSeg (printed)",
        "fmbseg, recipe base (not the paper's protocol)",
        f"fmbseg, recipe base: {BESIDE} (not the paper's protocol)",
    ]
    assert rows[0][1:] == ("38.8", "74.9", "23.6", "20.6", "16.4", "12.6", "9.8")
    assert rows[1][1:] == ("67.73", "85.65", "42.72", "57.63", "29.88", "28.37", "16.25")
    assert all(
        re.fullmatch(r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)", cell) for row in rows[2:] for cell in row[1:]
    )
    told = json.loads((out / "table.json").read_text())
    assert not told["papers_protocol"]
    assert [set(row["miou"]) for row in told["rows"]] == [set(COLUMNS)] * 2
    assert set(told["rows"][0]["photographs"].values()) == {1, 2}  # two of VOC's
    assert "Table 1 of FMbSeg" in (out / "table.md").read_text()
    assert "| PV-21 |" in (out / "table.md").read_text()


def test_killed_after_each_step_and_started_again_it_gives_the_same_table(
    whole: tuple[Path, ReproducedTable], root: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, do = table_1("base", beside=[BESIDE]), _Run.do
    done: list[str] = []

    def killed(self: _Run, step: Any, told: str) -> None:
        do(self, step, told)
        if step.name not in done:
            done.append(step.name)
            raise KeyboardInterrupt

    monkeypatch.setattr(_Run, "do", killed)
    for _ in plan.steps:
        with pytest.raises(KeyboardInterrupt):
            reproduce(plan, root, home / "killed", device="cpu")
    assert done == [step.name for step in plan.steps]
    said: list[str] = []
    found = reproduce(plan, root, home / "killed", device="cpu", say=said.append)
    assert [line.endswith(": done before") for line in said] == [True] * len(plan.steps)
    assert found.to_dict() == whole[1].to_dict()
    assert (home / "killed" / "table.md").read_bytes() == (whole[0] / "table.md").read_bytes()
    # What is gone is made again, and what was made of it is still known, for it comes out the same.
    shutil.rmtree(home / "killed" / "labels")
    said.clear()
    again = reproduce(plan, root, home / "killed", device="cpu", say=said.append)
    assert [line.rpartition(", ")[2] for line in said if not line.endswith("done before")] == ["labels"]
    assert again.to_dict() == found.to_dict()


def test_parts_that_share_a_folder_give_the_same_figures(
    whole: tuple[Path, ReproducedTable], root: Path, home: Path
) -> None:
    plan = table_1("base", ["voc21", "ade20k150"])

    def turn(index: int) -> ReproducedTable | str:
        try:
            return reproduce(plan, root, home / "parts", device="cpu", part=Part(index, 2))
        except Waiting as waiting:
            return str(waiting)

    told = [turn(index) for index in (1, 2, 1, 2, 1, 2)]
    waited = [one for one in told if isinstance(one, str)]
    table = told[-1]
    assert not isinstance(table, str)
    assert "part 1/2 of labels is done, not yet 2/2" in waited[0]
    assert any("part 1 fits head" in line for line in waited)
    wanted = whole[1].to_dict()["rows"][0]["miou"]
    assert table.to_dict()["rows"][0]["miou"] == {name: wanted[name] for name in ("voc21", "ade20k150")}


def test_another_plan_in_the_folder_is_refused_with_the_difference(
    whole: tuple[Path, ReproducedTable], root: Path
) -> None:
    with pytest.raises(RunError, match=r"step labels of another plan, which differs in limit \(None and 2\)"):
        reproduce(table_1("base", limit=2), root, whole[0], device="cpu")


def test_a_limit_is_told(root: Path, home: Path) -> None:
    run = [
        "reproduce",
        "--root",
        str(root),
        "--out",
        str(home / "few"),
        "--recipe",
        "base",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, [*run, "--sets", "voc21", "--limit", "3"])
    assert done.exit_code == 0, done.output
    assert "first 3 photographs of each set (not the paper's protocol)" in done.stdout
    assert "†" in done.stdout
    assert "3 of 3, eval-voc21" in done.stderr


@pytest.mark.usefixtures("whole")  # whose weights are then in the cache
def test_a_dry_run_tells_what_is_missing(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = table_1("base")
    all_here = forecast(base, root, device="cpu")
    assert all_here.complete
    assert max(all_here.missing_gigabytes) == 0
    hours = all_here.hours()
    assert hours is not None
    assert list(hours) == [step.name for step in base.steps]
    assert all(value >= 0 for value in hours.values())  # a pass over five may be too short to time
    assert all_here.probe is not None
    # Three photographs to label, and an evaluation's hours are as many as its photographs.
    assert hours["labels"] == pytest.approx(3 * all_here.probe.label / 3600)
    assert hours["eval-voc21"] == pytest.approx(2 * hours["eval-ade20k150"])

    parts = home / "parts of the data"
    shutil.copytree(root / "VOCdevkit", parts / "VOCdevkit")
    some = forecast(base, parts, device="cpu")
    assert {one.name for one in some.sets if one.here} == {"voc21", "voc20", "context59"}
    assert some.missing_gigabytes[0] == pytest.approx(20.5 + 11.9 + 1.0)  # COCO once
    missing = some.hours()
    assert missing is not None
    assert some.probe is not None
    assert missing["labels"] == pytest.approx(118_287 * some.probe.label / 3600)
    lines = "\n".join(some.lines())
    assert "missing: the photographs of coco_stuff171 for training are not here" in lines
    assert "get it here: ADEChallengeData2016.zip from http" in lines

    nothing = forecast(base, home / "nowhere", device="cpu")
    assert nothing.hours() is None
    assert "hours: not known, there are no photographs to probe" in nothing.lines()[-1]
    monkeypatch.setattr("fmbseg.recipes.sources.cached_folder", lambda *_: None)
    done = CliRunner().invoke(
        app, ["reproduce", "--root", str(root), "--recipe", "base", "--dry-run", "--json"]
    )
    told = json.loads(done.stdout)
    assert told["missing_gigabytes"]["weights"] == pytest.approx(1.33)
    assert told["hours"] is None
    assert "timm/vit_base_patch16_clip_224.openai is not here" in told["not_probed"]


def test_a_set_that_is_half_there_is_refused_before_any_work(root: Path, home: Path) -> None:
    half = home / "half"
    shutil.copytree(root, half)
    next((half / "ade/ADEChallengeData2016/annotations/validation").iterdir()).unlink()
    with pytest.raises(DataSetError, match="the data set ade20k150 is not complete"):
        reproduce(table_1("base"), half, home / "none", device="cpu")
    assert not (home / "none").exists()


def test_the_appendixs_variants_run(root: Path, home: Path) -> None:
    """Labels told, another stage, another draw, another loss, and going on with another set's photographs."""
    tuned = reproduce(ablation("finetune", "base"), root, home / "finetune", device="cpu")
    assert [row[1] for row in tuned.rows()[:2]] == ["16.25", "21.57"]
    told = reproduce(ablation("labels", "base", limit=3), root, home / "labels", device="cpu")
    assert [row[0].split(": ")[1] for row in told.rows()[2:]] == [
        "classes found (not the paper's protocol)",
        "image-level labels (not the paper's protocol)",
        "stage1:base (not the paper's protocol)",
        "stage1:base@labels (not the paper's protocol)",
    ]
