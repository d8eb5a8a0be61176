"""What ``fmbseg fit`` refuses before it loads a model, and that it leaves what is there alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fmbseg.alignment.checkpoint import STATE_FILE, Checkpoint, TrainingState
from fmbseg.cli.main import app
from tests.alignment.photographs import labelled
from tests.alignment.test_aligner import write_label_set

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

STATE = TrainingState(1, 0, 0.0, 0, 0.0, [], {}, {}, {}, {}, {})


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded before the input was refused")

    for place in ("aligner.Aligner.__init__", "aligner.Aligner.from_pretrained"):
        monkeypatch.setattr(f"fmbseg.alignment.{place}", refuse)


def fit(folder: Path, *options: str, names: tuple[str, ...] = ("chelsea", "coffee")) -> Result:
    if not (folder / "labels").exists():
        write_label_set(folder / "labels", labelled(folder, names, side=32))
    given = ["fit", str(folder / "labels"), "--out", str(folder / "head"), *options]
    return CliRunner().invoke(app, given)


def refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 1, result.exception
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert [part for part in parts if part not in result.stderr] == []


def test_a_folder_of_someone_elses(tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "config.json").write_text("mine")
    refused(fit(tmp_path), "config.json", "fmbseg did not write it")
    assert (tmp_path / "head" / "config.json").read_text() == "mine"


def test_a_file_where_the_folder_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "head").write_text("mine")
    refused(fit(tmp_path), "head")
    assert (tmp_path / "head").read_text() == "mine"


def test_logs_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text("day,steps\n1,9000\n")
    refused(fit(tmp_path, "--logs", str(tmp_path)), "steps.csv is damaged, or is not the log of a training")
    assert (tmp_path / "steps.csv").read_text() == "day,steps\n1,9000\n"


def test_labels_of_one_class(tmp_path: Path) -> None:
    refused(fit(tmp_path, names=("chelsea",)), "it takes two classes to tell apart")


def test_a_checkpoint_of_other_labels(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "run") as kept:
        kept.open({"labels": "ab12"})
        kept.save(STATE)
    before = kept.path.read_bytes()
    refused(fit(tmp_path, "--checkpoint", str(tmp_path / "run")), "labels was 'ab12' and is", STATE_FILE)
    assert kept.path.read_bytes() == before


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE_FILE).write_bytes(b"\0" * 64)
    refused(
        fit(tmp_path, "--checkpoint", str(tmp_path / "run")),
        STATE_FILE,
        "delete it to train from the start (nothing else is lost)",
    )


def test_a_checkpoint_that_another_training_is_kept_in(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "run"):
        refused(fit(tmp_path, "--checkpoint", str(tmp_path / "run")), "another run is writing to")
