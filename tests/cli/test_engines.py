"""``label`` on an engine, and what it would take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.engines.engine import OnProcesses, OnRay
from tests.labeling.colours import painted
from tests.labeling.runs import make_labeler

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg import LabelSet

pytestmark = pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(painted((40, 60), red=(slice(0, 40), slice(0, 30)))).save(folder / name)
    (folder / "d.png").write_text("no picture", encoding="utf-8")
    return folder


def run(photographs: Path, out: Path, *more: str) -> Any:
    arguments = ["label", str(photographs), "--classes", "cat,rocket", "--mask-generator", "superpixels"]
    return CliRunner().invoke(app, [*arguments, "--out", str(out), *more])


def test_what_it_would_take(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbseg.cli.label._labeler", lambda *_: make_labeler("stand-ins"))
    tried = run(
        photographs, tmp_path / "out", "--dry-run", "--sample", "2", "--price", "2", "--processes", "3"
    )
    assert tried.exit_code == 0, tried.output
    assert tried.stdout.startswith("2 of 4 photographs: ")
    assert " with 1 worker, " in tried.stdout
    assert " with 3 workers; " in tried.stdout
    assert " at 2 a machine hour; " in tried.stdout
    assert not (tmp_path / "out").exists()


def test_an_engine_is_given_all_and_no_model_is_loaded_here(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def elsewhere(engine: Any, given: dict[str, Any], *rest: Any, **run: Any) -> LabelSet:
        asked.append((engine, given, run))
        return make_labeler("stand-ins").label(*rest, **run, progress=False)

    monkeypatch.setattr("fmbseg.labeling.labeler.label_elsewhere", elsewhere)
    monkeypatch.setattr("fmbseg.cli.label._labeler", None)
    ray = ["--engine", "ray", "--workers", "2:5", "--gpus-per-worker", "0.5", "--cpus-per-worker", "4"]
    made = run(photographs, tmp_path / "out", *ray, "--address", "10.0.0.1:6379", "--shard-size", "2")
    assert made.exit_code == 0, made.output
    assert "3 photographs labelled, 1 not" in made.stdout
    assert "not labelled: d.png" in made.stderr
    ((engine, given, how),) = asked
    assert engine == OnRay((2, 5), 0.5, 4.0, "10.0.0.1:6379")
    assert (given["mask_generator"], given["device"]) == ("superpixels", None)
    assert (how["shard_size"], how["workers"]) == (2, 2)
    assert run(photographs, tmp_path / "two", "--processes", "3", "--workers", "4").exit_code == 0
    assert (asked[1][0], asked[1][2]["workers"]) == (OnProcesses(3), 4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--engine", "ray", "--processes", "2"], "either --engine ray or --processes"),
        (["--address", "auto"], "--address need --engine ray"),
        (["--workers", "1:4"], "MIN:MAX needs --engine ray"),
        (["--engine", "ray", "--workers", "some"], "write MIN:MAX"),
    ],
)
def test_options_that_do_not_go_together(
    photographs: Path, tmp_path: Path, options: list[str], told: str
) -> None:
    result = run(photographs, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", "").split())


def test_numbers_that_cannot_be_and_no_cluster(photographs: Path, tmp_path: Path) -> None:
    result = run(photographs, tmp_path / "out", "--processes", "0")
    assert (result.exit_code, "error: 0 processes" in result.stderr) == (1, True)
    nowhere = run(photographs, tmp_path / "out", "--engine", "ray", "--address", "127.0.0.1:9")
    assert nowhere.exit_code == 1
    assert "error: there is no Ray cluster at 127.0.0.1:9" in nowhere.stderr
    assert "ray start --head" in nowhere.stderr
