"""Whole runs with a segmenter whose answers are known: figures, going on, parts, and what is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from fmbseg.evaluation.evaluate import evaluate, merge_runs
from fmbseg.evaluation.journal import RunError
from fmbseg.part import Part
from fmbseg.sources.stored_path import local
from tests.evaluation.red_channel import NAMES, RedChannel

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.evaluation.datasets import SegmentationData


def expected_miou(data: SegmentationData) -> float:
    wanted, given = [], []
    for sample in data.samples:
        image, target = data.load(sample)
        wanted.append(target[target >= 0])
        given.append((image[..., 0] // 100)[target >= 0])
    return float(jaccard_score(np.concatenate(wanted), np.concatenate(given), average="macro"))


def test_the_figures_and_the_files(data: SegmentationData, tmp_path: Path) -> None:
    out = tmp_path / "run"
    segmenter = RedChannel()
    report = evaluate(segmenter, data, "paper", out=out, pictures=2)
    assert report.measured == segmenter.seen == 7
    assert report.figures["miou"] == pytest.approx(expected_miou(data))
    assert len(segmenter.vocabularies[0].background) == 91
    assert segmenter.vocabularies[0].names[:2] == ("cat", "cup")

    told = json.loads((out / "report.json").read_text())
    assert told["figures"]["miou"] == report.figures["miou"]
    assert told["protocol"]["background"] == "91 stuff words of COCO-Stuff"
    assert [row["class"] for row in told["per_class"]] == list(NAMES)
    assert sorted(told["images"], key=told["images"].get) == [f"image {index}" for index in range(7)]
    assert told["devices"] == []  # this segmenter does not say
    markdown = (out / "report.md").read_text()
    assert f"| mIoU | {100 * expected_miou(data):.2f} |" in markdown
    for choice in ("classes", "background", "threshold", "names", "templates", "resolution", "windows"):
        assert f"| {choice} | " in markdown

    page = (out / "report.html").read_text()
    shown = re.findall(r"<figcaption>(image \d)", page)
    assert shown == ["image 0", "image 1", "image 6", "image 5"]  # the worst first, then the best first
    assert page.count("data:image/jpeg;base64,") == len(list((out / "pictures").iterdir())) == 4
    assert not re.findall(r'(?:src|href)="(?!data:)', page)  # it needs no other file
    without = evaluate(RedChannel(), data, "paper")
    assert without.figures == report.figures


def test_a_run_that_was_stopped_goes_on(data: SegmentationData, tmp_path: Path) -> None:
    whole = evaluate(RedChannel(), data, "paper", out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        evaluate(RedChannel(stop_after=3), data, "paper", out=tmp_path / "run")
    journal = tmp_path / "run" / "images.jsonl"
    assert len(journal.read_text().splitlines()) == 1 + 3  # the first says of which run it is
    journal.write_text(journal.read_text()[:-40])  # a kill in the middle of a line
    second = RedChannel()
    report = evaluate(second, data, "paper", out=tmp_path / "run")
    assert second.seen == 5
    assert report.to_dict() == whole.to_dict()
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    third = RedChannel()
    assert evaluate(third, data, "paper", out=tmp_path / "run").to_dict() == whole.to_dict()
    assert third.seen == 0


def test_parts_add_up_to_the_whole(data: SegmentationData, tmp_path: Path) -> None:
    whole = evaluate(RedChannel(), data, "paper", out=tmp_path / "whole", pictures=2)
    for index in (2, 1):
        part = evaluate(
            RedChannel(), data, "paper", out=tmp_path / str(index), part=Part(index, 2), pictures=2
        )
        assert part.measured == {1: 4, 2: 3}[index]
    joined = merge_runs([tmp_path / "2", tmp_path / "1"], tmp_path / "joined", pictures=2)
    assert joined.to_dict() == whole.to_dict()
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_does_not_add_up(data: SegmentationData, tmp_path: Path) -> None:
    def run(name: str, part: str, protocol: str = "paper") -> Path:
        evaluate(RedChannel(), data, protocol, out=tmp_path / name, part=Part.of(part))
        return tmp_path / name

    one, two = run("one", "1/2"), run("two", "2/2")
    with pytest.raises(RunError, match="each of 1 to 2 is needed once"):
        merge_runs([one, one], tmp_path / "out")
    with pytest.raises(RunError, match="each of 1 to 2"):
        merge_runs([one], tmp_path / "out")
    with pytest.raises(RunError, match="differ in protocol"):
        merge_runs([one, run("other", "2/2", "tcl")], tmp_path / "out")
    with pytest.raises(RunError, match="no run to join"):
        merge_runs([], tmp_path / "out")
    with pytest.raises(RunError, match=r"data is not a folder of a run: .*run\.json"):
        merge_runs([tmp_path / "data", two], tmp_path / "out")
    (two / "images.jsonl").write_text("")
    with pytest.raises(RunError, match="3 images were not measured, the first 'image 1'"):
        merge_runs([one, two], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_that_cannot_be_read_are_told_and_tried_again(data: SegmentationData, tmp_path: Path) -> None:
    sample = data.samples[2]
    good = sample.mask.read_bytes()
    Image.fromarray(np.full((12, 16), 9, np.uint8)).save(local(sample.mask))
    report = evaluate(RedChannel(), data, "paper", out=tmp_path / "run")
    assert report.measured == 6
    (failure,) = report.failures
    assert failure["key"] == "image 2"
    assert "image 2.png has the values [9]" in failure["error"]
    assert "1 images could not be read" in (tmp_path / "run" / "report.md").read_text()
    assert "1 images could not be read" in (tmp_path / "run" / "report.html").read_text()
    local(sample.mask).write_bytes(good)
    again = RedChannel()
    assert evaluate(again, data, "paper", out=tmp_path / "run").failures == ()
    assert again.seen == 1


def test_a_folder_of_another_run_or_of_something_else(data: SegmentationData, tmp_path: Path) -> None:
    evaluate(RedChannel(), data, "paper", out=tmp_path / "run")
    with pytest.raises(RunError, match="holds a run that differs in protocol"):
        evaluate(RedChannel(), data, "tcl", out=tmp_path / "run")
    with pytest.raises(RunError, match=r"holds files but no run\.json"):
        evaluate(RedChannel(), data, "paper", out=tmp_path / "data")
    (tmp_path / "run" / "images.jsonl").write_text("{no json}\n")
    with pytest.raises(
        RunError, match=r"images\.jsonl, line 1, is damaged.*: delete .*images\.jsonl and run"
    ):
        evaluate(RedChannel(), data, "paper", out=tmp_path / "run")


def test_limits_and_parts_that_make_no_sense(data: SegmentationData) -> None:
    report = evaluate(RedChannel(), data, "paper", limit=2)
    assert (report.measured, report.data["images"], report.data["of"]) == (2, 2, 7)
    assert ("images", "2 of folder_background all, the first 2 of 7") in report.choices()
    with pytest.raises(ValueError, match="limit is 0"):
        evaluate(RedChannel(), data, "paper", limit=0)
    with pytest.raises(ValueError, match="part 3/3 of 7 images has none"):
        evaluate(RedChannel(), data, "paper", limit=2, part=Part(3, 3))
    for text in ("1", "0/2", "3/2", "a/b"):
        with pytest.raises(ValueError, match="part"):
            Part.of(text)


def test_an_image_where_nothing_counts(data: SegmentationData) -> None:
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(local(data.samples[0].mask))
    report = evaluate(RedChannel(), data, "paper")
    assert report.images["image 0"] is None
    assert report.measured == 7
