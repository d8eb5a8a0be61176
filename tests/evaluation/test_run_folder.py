"""A run's folder: nothing of other people's is replaced, nothing damaged is believed, and one run writes."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg.evaluation.evaluate import check_evaluation, evaluate, merge_runs
from fmbseg.evaluation.journal import RunError, RunFolder
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.evaluation.table import table
from fmbseg.part import Part
from fmbseg.written import OwnResults, WouldReplaceError
from tests.evaluation.red_channel import RedChannel

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.evaluation.datasets import SegmentationData
    from fmbseg.results import Segmentation

REPORTS = ["report.json", "report.md", "report.html"]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_was_edited_is_not_replaced(data: SegmentationData, tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    evaluate(RedChannel(), data, "paper", out=out)
    evaluate(RedChannel(), data, "paper", out=out)  # its own may be
    with (out / name).open("a") as file:
        file.write("a note of mine")
    before = files(out)
    with pytest.raises(WouldReplaceError, match=rf"{name} was changed since fmbseg wrote it"):
        evaluate(RedChannel(), data, "paper", out=out)
    with pytest.raises(WouldReplaceError, match=rf"{name} was changed since fmbseg wrote it"):
        check_evaluation(data, get_protocol("paper"), out=out)
    assert files(out) == before


def test_other_files_stay_and_a_folder_of_them_is_no_run(data: SegmentationData, tmp_path: Path) -> None:
    out = tmp_path / "run"
    evaluate(RedChannel(), data, "paper", out=out)
    (out / "notes.txt").write_text("mine")
    (out / "pictures" / "mine.jpg").write_text("mine")
    evaluate(RedChannel(), data, "paper", out=out)
    assert (out / "notes.txt").read_text() == (out / "pictures" / "mine.jpg").read_text() == "mine"
    (out / "run.json").unlink()
    before = files(out)
    with pytest.raises(RunError, match=r"holds files but no run\.json: give a new folder"):
        evaluate(RedChannel(), data, "paper", out=out)
    assert files(out) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WouldReplaceError, match="file is a file: name a folder"):
        evaluate(RedChannel(), data, "paper", out=tmp_path / "file")


def test_pictures_that_are_dropped_go_and_are_no_photographs(data: SegmentationData, tmp_path: Path) -> None:
    out = tmp_path / "run"
    evaluate(RedChannel(), data, "paper", out=out, pictures=2)
    found = sorted((out / "pictures").iterdir())
    assert len(found) == 4
    assert all(path in OwnResults() for path in found)
    evaluate(RedChannel(), data, "paper", out=out, pictures=1)
    left = sorted((out / "pictures").iterdir())
    assert len(left) == 2
    assert set(left) < set(found)
    assert (out / "report.html").read_text().count("data:image/jpeg;base64,") == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"names": "absent.txt"}, "absent.txt"),
        ({"limit": 0}, "limit is 0"),
        ({"part": Part(9, 9)}, "part 9/9 of 7 images has none"),
    ],
)
def test_what_can_be_known_is_said_before_the_models(
    data: SegmentationData, arguments: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        check_evaluation(data, get_protocol("paper"), **arguments)


def test_another_run_is_told_before_the_models(data: SegmentationData, tmp_path: Path) -> None:
    evaluate(RedChannel(), data, "paper", out=tmp_path / "run")
    check_evaluation(data, get_protocol("paper"), out=tmp_path / "run")
    with pytest.raises(RunError, match=r"holds a run that differs in protocol.*: give a new folder"):
        check_evaluation(data, get_protocol("tcl"), out=tmp_path / "run")
    check_evaluation(data, get_protocol("tcl"), out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_two_runs_in_one_folder(data: SegmentationData, tmp_path: Path) -> None:
    """The second starts while the first is at its second image."""
    inside, go_on = threading.Event(), threading.Event()

    class Waiting(RedChannel):
        def segment(self, *arguments: Any, **more: Any) -> Segmentation:
            if self.seen == 1:
                inside.set()
                assert go_on.wait(60)
            return super().segment(*arguments, **more)

    first = threading.Thread(target=lambda: evaluate(Waiting(), data, "paper", out=tmp_path / "run"))
    first.start()
    assert inside.wait(60)
    second = RedChannel()
    with pytest.raises(WouldReplaceError, match="another run is writing to"):
        evaluate(second, data, "paper", out=tmp_path / "run")
    go_on.set()
    first.join()
    assert second.seen == 0
    third = RedChannel()
    assert evaluate(third, data, "paper", out=tmp_path / "run").measured == 7
    assert third.seen == 0


def test_lines_of_another_run_are_not_believed(data: SegmentationData, tmp_path: Path) -> None:
    evaluate(RedChannel(), data, "paper", out=tmp_path / "run")
    evaluate(RedChannel(), data, "tcl", out=tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "images.jsonl", tmp_path / "run" / "images.jsonl")
    with pytest.raises(RunError, match=r"images\.jsonl belongs to another run than .*run\.json: delete "):
        evaluate(RedChannel(), data, "paper", out=tmp_path / "run")
    (tmp_path / "run" / "images.jsonl").unlink()  # as it says
    again = RedChannel()
    evaluate(again, data, "paper", out=tmp_path / "run")
    assert again.seen == 7


def test_a_picture_that_was_changed_is_not_shown(data: SegmentationData, tmp_path: Path) -> None:
    halves = [tmp_path / "1", tmp_path / "2"]
    for number, half in enumerate(halves, start=1):
        evaluate(RedChannel(), data, "paper", out=half, part=Part(number, 2), pictures=1)
    changed = sorted((halves[0] / "pictures").iterdir())[0]
    changed.write_bytes(changed.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"{changed.name} was changed since it was drawn: it is left out"):
        merge_runs(halves, tmp_path / "out", pictures=4)
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg;base64,") == 3


@pytest.mark.parametrize("name", ["run.json", "images.jsonl", "report.json"])
def test_no_changed_bit_is_believed(data: SegmentationData, tmp_path: Path, name: str) -> None:
    """What is read back is the same, or an error that names the file."""
    out = tmp_path / "run"
    whole = evaluate(RedChannel(), data, "paper", out=out).to_dict()
    told = table([out])
    good, random = (out / name).read_bytes(), np.random.default_rng(0)
    refusals = []
    for _ in range(60):
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << int(random.integers(8))
        (out / name).write_bytes(bytes(bad))
        try:
            if name == "report.json":
                assert table([out]) == told
            else:
                assert merge_runs([out], tmp_path / "joined").to_dict() == whole
        except RunError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(name in refusal for refusal in refusals)


def test_a_kill_between_a_picture_and_its_line_loses_neither(
    data: SegmentationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(RedChannel(), data, "paper", out=tmp_path / "whole", pictures=2)
    add = RunFolder.add

    def killed(self: RunFolder, row: dict[str, Any]) -> None:
        if row["key"] == "image 1":
            raise KeyboardInterrupt
        add(self, row)

    monkeypatch.setattr(RunFolder, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(RedChannel(), data, "paper", out=tmp_path / "run", pictures=2)
    monkeypatch.undo()
    evaluate(RedChannel(), data, "paper", out=tmp_path / "run", pictures=2)
    for name in REPORTS:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "run").rglob("*.tmp*"))
