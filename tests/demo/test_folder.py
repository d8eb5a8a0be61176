"""What a demo does to its folder; the models are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from fmbseg.demo import run as demo_run
from fmbseg.demo.photographs import PHOTOGRAPHS
from fmbseg.demo.run import DemoSettings, run_demo
from fmbseg.written import WouldReplaceError
from tests.demo.test_report import metrics as metrics_of_a_run

if TYPE_CHECKING:
    from pathlib import Path

metrics = metrics_of_a_run


@pytest.fixture
def shards(monkeypatch: pytest.MonkeyPatch, metrics: dict[str, Any]) -> list[str]:
    """Names of the shards that the next demo writes."""
    names = ["shard-00000.parquet", "shard-00001.parquet"]

    def run(settings: DemoSettings, trained: object, new: object, work: Path) -> Any:
        assert settings.images is not None or (settings.out / "photographs" / PHOTOGRAPHS[0].name).is_file()
        for name in ("manifest.json", ".lock", *names):
            (work / "labels").mkdir(exist_ok=True)
            (work / "labels" / name).write_text(name)
        (work / "head").mkdir()
        (work / "head" / "config.json").write_text("{}")
        return [], metrics, []

    monkeypatch.setattr(demo_run, "_run", run)
    return names


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_the_files_of_a_demo(shards: list[str], tmp_path: Path) -> None:
    report = run_demo(DemoSettings(tmp_path / "demo"))
    assert set(files_of(tmp_path / "demo")) == {
        *(f"photographs/{one.name}" for one in PHOTOGRAPHS),
        *(f"labels/{name}" for name in ("manifest.json", *shards)),
        "head/config.json",
        "report.html",
        "metrics.json",
    }
    assert report.page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_second_demo_removes_what_the_first_wrote_and_nothing_else(
    shards: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    run_demo(DemoSettings(out))
    mine = ("notes.txt", "labels/mine.parquet", "photographs/mine.jpg", "head/mine.txt", "features/mine.f16")
    for name in mine:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(name)
    shards.pop()
    (tmp_path / "photographs").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photographs" / "a.png")
    run_demo(DemoSettings(out, images=tmp_path / "photographs"))
    assert set(files_of(out)) == {
        *mine,
        "labels/manifest.json",
        "labels/shard-00000.parquet",
        "head/config.json",
        "report.html",
        "metrics.json",
    }


@pytest.mark.parametrize("name", ["report.html", "labels/manifest.json", "head/config.json"])
def test_a_file_that_was_edited_is_kept_and_named(shards: list[str], tmp_path: Path, name: str) -> None:
    run_demo(DemoSettings(tmp_path))
    (tmp_path / name).write_text("edited")
    before = files_of(tmp_path)
    with pytest.raises(WouldReplaceError, match=f"{name} was changed since fmbseg wrote it"):
        run_demo(DemoSettings(tmp_path))
    assert files_of(tmp_path) == before


def test_the_mark_alone_makes_no_file_a_demos(shards: list[str], tmp_path: Path) -> None:
    (tmp_path / ".fmbseg-demo").touch()
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "cat.png").write_text("mine")
    with pytest.raises(WouldReplaceError, match="did not write it"):
        run_demo(DemoSettings(tmp_path))
    assert files_of(tmp_path) == {"photographs/cat.png": b"mine"}


def test_a_demo_that_was_stopped_can_be_run_again(
    shards: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo_run, "_run", stop)
        with pytest.raises(KeyboardInterrupt):
            run_demo(DemoSettings(tmp_path))
    assert run_demo(DemoSettings(tmp_path)).page.is_file()


def test_other_folders_and_files_are_refused(shards: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"not a demo's, such as notes\.txt"):
        run_demo(DemoSettings(tmp_path))
    with pytest.raises(ValueError, match=r"notes\.txt is a file"):
        run_demo(DemoSettings(tmp_path / "notes.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
