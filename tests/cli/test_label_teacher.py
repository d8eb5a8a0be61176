"""``fmbseg label --teacher``, and what it tells before a model is loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg import LabelSet
from fmbseg.cli.main import app
from fmbseg.labels.manifest import manifest_hash
from fmbseg.models.registries import IMAGE_TEXT
from tests.labeling.colours import ColourEncoder, painted
from tests.labeling.concepts import ColourConcepts

if TYPE_CHECKING:
    from pathlib import Path

TEACHER = ColourConcepts().spec
IMAGE_TEXT.register(ColourEncoder.spec)(ColourEncoder)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(painted((40, 60), red=(slice(0, 40), slice(0, 30)))).save(folder / name)
    return folder


def run(photographs: Path, out: Path, *more: str) -> Any:
    return CliRunner().invoke(
        app, ["label", str(photographs), "--classes", "red,blue", "--out", str(out), *more]
    )


@pytest.fixture
def labelled(photographs: Path, tmp_path: Path) -> Path:
    result = run(photographs, tmp_path / "out", "--teacher", TEACHER)
    assert result.exit_code == 0, result.output
    assert "2 photographs labelled, 0 not; 2 masks from a teacher" in result.stdout
    return tmp_path / "out"


@pytest.fixture
def no_models(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("fmbseg.labeling.labeler.PseudoLabeler.__init__", refuse)


@pytest.mark.usefixtures("no_models")
class TestBeforeAModelIsLoaded:
    def test_a_finished_run_is_told(self, photographs: Path, labelled: Path) -> None:
        result = run(photographs, labelled, "--teacher", TEACHER)
        assert result.exit_code == 0, result.output
        assert "2 photographs labelled" in result.stdout

    def test_another_teacher_is_refused(self, photographs: Path, labelled: Path) -> None:
        result = run(photographs, labelled, "--teacher", f"{TEACHER}:other")
        assert result.exit_code == 1
        assert f"models.teacher is '{TEACHER}', now '{TEACHER}:other'" in result.stderr

    def test_no_teacher_is_refused_where_there_was_one(self, photographs: Path, labelled: Path) -> None:
        result = run(photographs, labelled)
        assert result.exit_code == 1
        assert f"models.teacher is '{TEACHER}', now None" in result.stderr

    def test_a_teacher_of_another_revision_is_left_to_its_loading(
        self, photographs: Path, labelled: Path
    ) -> None:
        result = run(photographs, labelled, "--teacher", f"{TEACHER}?revision=b")
        assert isinstance(result.exception, AssertionError)

    def test_a_teacher_of_other_options_is_left_to_its_loading(
        self, photographs: Path, labelled: Path
    ) -> None:
        content = json.loads((labelled / "manifest.json").read_text(encoding="utf-8"))
        content["models"]["teacher_options"] = {"semantic": True}
        content["hash"] = manifest_hash(content)
        (labelled / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
        result = run(photographs, labelled, "--teacher", TEACHER)
        assert isinstance(result.exception, AssertionError)

    def test_a_misspelt_teacher_is_told(self, photographs: Path, tmp_path: Path) -> None:
        result = run(photographs, tmp_path / "new", "--teacher", "colour-concept:x")
        assert result.exit_code == 1
        assert f"no concept model 'colour-concept'; did you mean '{TEACHER}'" in result.stderr

    def test_what_goes_with_no_teacher_is_refused(self, photographs: Path, tmp_path: Path) -> None:
        result = run(photographs, tmp_path / "new", "--teacher", TEACHER, "--image-text", "conse")
        assert result.exit_code == 1
        assert "leave out image_text, or leave out the teacher" in result.stderr
        assert not (tmp_path / "new").exists()


def test_masks_of_a_teacher_can_be_chosen(labelled: Path, tmp_path: Path) -> None:
    def masks(stage: str) -> int:
        out = tmp_path / f"{stage}.json"
        result = CliRunner().invoke(
            app, ["labels", "export", str(labelled), "--to", "coco", "--out", str(out), "--stage", stage]
        )
        assert result.exit_code == 0, result.output
        return out.read_text(encoding="utf-8").count('"segmentation"')

    assert (masks("concept"), masks("1.2")) == (2, 0)
    stats = CliRunner().invoke(app, ["labels", "stats", str(labelled), "--json", "--stage", "concept"])
    assert '"concept"' in stats.stdout
    assert LabelSet(labelled).manifest["models"]["license"] == ColourConcepts.license


class TestOptions:
    def test_reach_the_teacher_and_the_manifest(self, photographs: Path, tmp_path: Path) -> None:
        options = ("--teacher-option", "semantic=true", "--prefilter", "colour-test:1")
        for _ in range(2):  # the second time nothing is loaded
            result = run(photographs, tmp_path / "new", "--teacher", TEACHER, *options)
            assert result.exit_code == 0, result.output
            assert "classes (photographs): red (2)" in result.stdout
        models = LabelSet(tmp_path / "new").manifest["models"]
        assert models["teacher_options"] == {"semantic": True}
        assert models["prefilter"] == {"image_text": "colour-test", "keep": 1}

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (("--teacher", TEACHER, "--teacher-option", "semantic"), "write NAME=VALUE"),
            (("--teacher", TEACHER, "--teacher-option", "size=3"), "unexpected keyword argument 'size'"),
            (("--teacher", TEACHER, "--prefilter", "conse"), "--prefilter conse: write a model and a number"),
            (("--teacher", TEACHER, "--prefilter", "conse:0"), "a number of classes, 1 or more"),
            (("--teacher", TEACHER, "--prefilter", "cons:2"), "did you mean 'conse'"),
            (("--prefilter", "conse:2"), "prefilter are for a teacher"),
        ],
    )
    def test_that_do_not_fit_are_told(
        self, photographs: Path, tmp_path: Path, more: tuple[str, ...], told: str
    ) -> None:
        result = run(photographs, tmp_path / "new", *more)
        assert result.exit_code in (1, 2)
        assert told in " ".join(result.stderr.replace("│", " ").split())
        assert not (tmp_path / "new").exists()


def test_five_thousand_words_are_told_how_long_they_take(photographs: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("red\n" + "".join(f"word {index}\n" for index in range(4999)), encoding="utf-8")
    given = [str(photographs), "--vocabulary", str(words), "--teacher", TEACHER]
    result = CliRunner().invoke(app, ["label", *given, "--out", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    assert "5000 words are asked of each of 2 photographs: about" in result.stderr
    assert "classes (photographs): red (2)" in result.stdout
