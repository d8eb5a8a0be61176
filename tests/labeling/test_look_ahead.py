"""What can be told without a model is told before one is loaded, and files that are passed over are told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg import LabelSet, PseudoLabeler
from fmbseg.cli.main import app
from fmbseg.labeling.look_ahead import look_ahead
from fmbseg.unknown_name import UnknownNameError
from tests.labeling.colours import ColourEncoder, painted

if TYPE_CHECKING:
    from fmbseg.models.image_text.conse import Conse

pytestmark = pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
WORDS = ["cat", "rocket"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, conse_encoder: Conse) -> Path:
    """Photographs and their finished labels, by the models that the command takes by itself."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photographs").mkdir()
    for name in ("a.png", "b.png"):
        painting = painted((40, 60), red=(slice(0, 40), slice(0, 30)))
        Image.fromarray(painting).save(folder / "photographs" / name)
    labeler = PseudoLabeler(image_text=conse_encoder, mask_generator="superpixels")
    labeler.label(folder / "photographs", WORDS, folder / "out", progress=False)
    return folder


@pytest.fixture
def photographs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "photographs", tmp_path / "photographs"))


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> LabelSet:
    return LabelSet(shutil.copytree(made / "out", tmp_path / "out"))


def run(photographs: Path, out: Path, *more: str, words: str = "cat,rocket") -> Any:
    arguments = ["label", str(photographs), "--classes", words, "--mask-generator", "superpixels"]
    return CliRunner().invoke(app, [*arguments, "--out", str(out), *more])


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("fmbseg.labeling.labeler.PseudoLabeler.__init__", refuse)


def test_a_finished_run_is_told_without_a_model(
    photographs: Path, finished: LabelSet, no_models: None
) -> None:
    result = run(photographs, finished.folder)
    assert result.exit_code == 0, result.output
    assert "2 photographs labelled, 0 not" in result.stdout


def test_what_is_not_the_same_run_is_refused_without_a_model(
    photographs: Path, finished: LabelSet, no_models: None, tmp_path: Path
) -> None:
    result = run(photographs, finished.folder, words="cat,dog")
    assert result.exit_code == 1
    assert "another configuration: vocabulary.names is" in result.stderr
    Image.new("RGB", (9, 9)).save(photographs / "c.png")
    assert "images.count is 2, now 3" in run(photographs, finished.folder).stderr
    assert "workers is 0: it must be 1 or more" in run(photographs, tmp_path / "new", "--workers", "0").stderr
    assert "is not labelled here" in run(photographs, tmp_path / "new", *known(tmp_path)).stderr.replace(
        "are not labelled here", "is not labelled here"
    )
    assert not (tmp_path / "new").exists()


def known(folder: Path) -> list[str]:
    (folder / "known.csv").write_text("absent.png,cat\n")
    return ["--image-labels", str(folder / "known.csv")]


def test_an_unfinished_run_and_a_new_one_go_on(photographs: Path, finished: LabelSet, tmp_path: Path) -> None:
    given: dict[str, Any] = {"mask_generator": "superpixels"}
    again = look_ahead(photographs, WORDS, finished.folder, **given).labels
    assert again is not None
    assert again.fingerprint == finished.fingerprint
    assert look_ahead(photographs, WORDS, tmp_path / "new", **given).labels is None
    assert not (tmp_path / "new").exists()
    (finished.folder / "shard-00000.parquet").unlink()
    assert look_ahead(photographs, WORDS, finished.folder, **given).labels is None
    with pytest.raises(UnknownNameError, match="conse"):
        look_ahead(photographs, WORDS, finished.folder, image_text="cnose", **given)


def test_files_that_are_passed_over_are_told_and_count_for_strict(
    photographs: Path, finished: LabelSet, no_models: None
) -> None:
    (photographs / "d.HEIC").write_bytes(b"x")
    result = run(photographs, finished.folder)
    assert result.exit_code == 0
    assert "1 file was passed over (1 .heic: d.HEIC)" in result.stderr
    assert run(photographs, finished.folder, "--strict").exit_code == 1


def test_the_labeler_warns_of_them(photographs: Path, tmp_path: Path) -> None:
    (photographs / "d.CR2").write_bytes(b"x")
    made = PseudoLabeler(image_text=ColourEncoder(), mask_generator="superpixels")
    with pytest.warns(UserWarning, match=r"1 file was passed over \(1 \.cr2: d\.CR2\)"):
        made.label(photographs, ["red"], tmp_path / "out", progress=False)
