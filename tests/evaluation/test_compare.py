"""Comparisons of methods whose answers are known: the same figures as alone, going on, parts, bad input."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.evaluation.compare import compare, merge_comparisons
from fmbseg.evaluation.cost import Cost
from fmbseg.evaluation.evaluate import evaluate
from fmbseg.evaluation.journal import RunError
from fmbseg.part import Part
from fmbseg.results import Segmentation
from fmbseg.sources.stored_path import local
from tests.evaluation.red_channel import NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.evaluation.datasets import SegmentationData
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.vocabulary import Vocabulary


@dataclass
class Known:
    """Gives each pixel the class that its red value names, or with a shift the next one in some rows."""

    spec: str
    shift: int = 0
    names: tuple[str, ...] = NAMES
    stop_after: int | None = None
    license: str = "CC0-1.0"
    models: tuple[str, ...] = ("none",)
    saved_seconds: float = 100.0
    seen: list[NDArray[Any]] = field(default_factory=list)

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(images)
        labels = (images[..., 0] // 100).astype(np.int32)
        labels[: self.shift] = (labels[: self.shift] + 1) % 3
        return Segmentation(labels, np.ones(labels.shape, np.float32), self.names, images, background="words")

    def describe(self) -> dict[str, Any]:
        return {"method": self.spec}


def methods(**changed: Any) -> list[Known]:
    return [Known("first"), Known("second", 2, **changed), Known("third", 6)]


def without_costs(found: dict[str, Any]) -> dict[str, Any]:
    for one in found["methods"]:
        one.pop("seconds"), one.pop("memory_mb")
    return found


def test_the_figures_are_those_of_each_alone_and_differences_are_paired(
    data: SegmentationData, tmp_path: Path
) -> None:
    asked = methods()
    found = compare(asked, data, out=tmp_path / "run", pictures=2)
    for method, one in zip(asked, found.methods, strict=True):
        assert one.report.to_dict() == evaluate(Known(method.spec, method.shift), data).to_dict() | {
            "model": {"method": method.spec, "license": "CC0-1.0", "models": ["none"]}
        }
        assert len(method.seen) == 7
        assert all(one is two for one, two in zip(method.seen, asked[0].seen, strict=True))  # read once
        assert one.seconds is not None
        assert one.seconds >= 100  # as if alone
    first, second, _ = found.methods
    assert not first.over_first
    over = second.over_first["miou"]
    assert over is not None
    assert over[0] == pytest.approx(
        (second.report.figures["miou"] or 0) - (first.report.figures["miou"] or 0)
    )
    assert over[1] <= over[2]
    # A figure and itself on the same draws do not differ at all: pairs are what is drawn.
    alike = compare([Known("one"), Known("two")], data, out=tmp_path / "alike")
    nothing = alike.methods[1].over_first["miou"]
    assert nothing is not None
    assert list(nothing) == [0, 0, 0]
    assert not alike.won

    told = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert [one["method"] for one in told["methods"]] == ["first", "second", "third"]
    page = (tmp_path / "run" / "comparison.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "| first | " in (tmp_path / "run" / "comparison.md").read_text()


def test_classes_go_to_the_method_that_is_best_at_them(data: SegmentationData, tmp_path: Path) -> None:
    found = compare(methods(), data, out=tmp_path / "run")
    for one in found.won:
        ious = {
            method.spec: next(row["iou"] for row in method.report.per_class if row["class"] == one.name)
            for method in found.methods
        }
        best, second = sorted(ious.values(), reverse=True)[:2]
        assert ious[one.spec] == best
        assert one.lead == pytest.approx(best - second)
    assert any(one.sure for one in found.won)
    few = compare(methods(), data, out=tmp_path / "few", limit=4)
    assert few.won
    assert not any(one.sure for one in few.won)  # all draws of one photograph are alike
    assert [row[0] for row in found.wins()] == ["first", "second", "third"]


def test_what_was_stopped_goes_on_and_parts_add_up(data: SegmentationData, tmp_path: Path) -> None:
    whole = compare(methods(), data, out=tmp_path / "whole", pictures=2)
    with pytest.raises(KeyboardInterrupt):
        compare(methods(stop_after=3), data, out=tmp_path / "run", pictures=2)
    again = methods()
    found = compare(again, data, out=tmp_path / "run", pictures=2)
    assert len(again[0].seen) == 4
    assert without_costs(found.to_dict()) == without_costs(whole.to_dict())
    for index in (2, 1):
        compare(methods(), data, out=tmp_path / str(index), part=Part(index, 2), pictures=2)
    joined = merge_comparisons([tmp_path / "2", tmp_path / "1"], tmp_path / "joined", pictures=2)
    assert without_costs(joined.to_dict()) == without_costs(whole.to_dict())
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "whole" / "pictures").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "joined" / "pictures").iterdir()} == pictures


def test_what_does_not_go_together_is_refused(data: SegmentationData, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 method to compare: give two or more"):
        compare(methods()[:1], data, out=tmp_path / "run")
    with pytest.raises(ValueError, match="first is there twice"):
        compare([Known("first"), Known("first")], data, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"answers with other words than those of folder_background.*dog"):
        compare(methods(names=("background", "cat", "dog")), data, out=tmp_path / "other words")
    compare(methods(), data, "paper", out=tmp_path / "1", part=Part(1, 2))
    compare(methods(), data, "own", out=tmp_path / "2", part=Part(2, 2))
    with pytest.raises(RunError, match=r"differ in .*protocol name \('own' and 'paper'\)"):
        merge_comparisons([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")
    evaluate(Known("first"), data, out=tmp_path / "eval")
    with pytest.raises(RunError, match="join it by `fmbseg eval --merge`"):
        merge_comparisons([tmp_path / "eval"], tmp_path / "joined")


def test_an_image_that_cannot_be_read_is_told(data: SegmentationData, tmp_path: Path) -> None:
    local(data.samples[2].image).write_bytes(b"no image")
    found = compare(methods(), data, out=tmp_path / "run")
    assert found.first.measured == 6
    assert [one["key"] for one in found.first.failures] == ["image 2"]
    assert "1 images could not be read" in (tmp_path / "run" / "comparison.md").read_text()


def test_the_command_goes_on_without_a_head_that_lacks_its_weights(
    data: SegmentationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fmbseg.methods
    from fmbseg.aligned.config import AlignedEncoderError

    def load(spec: str, pool: object) -> Known:
        if spec == "no-weights":
            raise AlignedEncoderError("no-weights/model.safetensors is missing")
        return Known(spec, len(spec) % 4)

    monkeypatch.setattr(fmbseg.methods, "load_method", load)
    command = ["--data", "folder_background", "--root", str(data.root), "--out", str(tmp_path / "run")]
    named = ["compare", "some", "no-weights", "others"]
    done = CliRunner().invoke(app, [*named, *command, "--strict"])
    assert done.exit_code == 1  # for --strict only
    assert "left out: no-weights: no-weights/model.safetensors is missing" in done.stderr
    assert re.search(r"no-weights +could not run", done.stdout)
    report = (tmp_path / "run" / "comparison.md").read_text()
    assert "could not run:** no-weights/model.safetensors is missing" in report
    assert CliRunner().invoke(app, [*named, *command]).exit_code == 0  # what was measured is there

    one = CliRunner().invoke(app, ["compare", "some", *command])
    assert one.exit_code == 1
    assert "1 method to compare" in one.stderr
    half = ["--data", "voc21", "--root", str(data.root), "--out", str(tmp_path / "voc")]
    missing = CliRunner().invoke(app, ["compare", "some", "others", *half])
    assert missing.exit_code == 1
    assert "the data set voc21 is not complete" in missing.stderr


def test_cost_is_what_runs_inside() -> None:
    with Cost() as cost:
        block = np.ones(20_000_000)
    assert cost.seconds > 0
    assert cost.memory_mb is None or cost.memory_mb > block.nbytes / 2e6
