"""``fmbseg calibrate``, and what ``fmbseg segment`` makes of it."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.cli.main import app
from fmbseg.models.registries import IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone
from tests.segmentation.test_calibration import photographs
from tests.segmentation.test_segmenter import SeeingImageText

RUNNER = CliRunner()
WORDS = ("--classes", "cat,cup,person,background")  # the last, so that no common words compete


class Seeing(SeeingImageText):
    spec = "tiny-seeing"


IMAGE_TEXT.register("tiny-seeing")(Seeing)


def save(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    words = Vocabulary.of(["cat", "cup", "person", "background"])
    known = Prototypes(words, embed_vocabulary(Seeing(), words))
    AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), Seeing(), prototypes=known).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head and two photographs, calibrated."""
    root = tmp_path_factory.mktemp("calibrate")
    save(root / "head", 3)
    (root / "photographs").mkdir()
    for index, image in enumerate(photographs(2)):
        Image.fromarray(image).save(root / "photographs" / f"{index}.png")
    (root / "photographs" / "notes.jpg").write_text("no image")
    command = ["calibrate", str(root / "head"), str(root / "photographs"), *WORDS, "--certainty", "0.02"]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "2 photographs: certainty 0.02 is reached at score" in result.stdout
    assert "not looked at: " in result.stderr
    return root


def segment(place: Path, out: Path, *options: str, head: str = "head") -> Result:
    return RUNNER.invoke(
        app,
        [
            "segment",
            str(place / "photographs" / "0.png"),
            "--head",
            str(place / head),
            "--out",
            str(out),
            *options,
        ],
    )


def test_a_calibration_in_the_heads_folder_is_taken_and_told(place: Path, tmp_path: Path) -> None:
    told = segment(place, tmp_path, *WORDS)
    assert told.exit_code == 0, told.output
    assert "calibration.json: blank below certainty 0.02" in told.stderr
    assert "other words" not in told.stderr
    assert "calibration" not in segment(place, tmp_path, *WORDS, "--calibration", "none").stderr
    assert (place / "head" / "calibration.html").read_text(encoding="utf-8").count("data:image/jpeg") == 4


def test_its_threshold_makes_background_by_similarity(place: Path, tmp_path: Path) -> None:
    told = segment(place, tmp_path, *WORDS, "--background", "similarity")
    assert told.exit_code == 0, told.output
    without = segment(place, tmp_path, *WORDS, "--background", "similarity", "--calibration", "none")
    assert without.exit_code == 1
    assert "threshold is None" in without.stderr


def test_other_words_are_warned_of(place: Path, tmp_path: Path) -> None:
    told = segment(place, tmp_path, "--classes", "cat,cup,car,background")
    assert "made with other words (new: car; gone: person)" in told.stderr


def test_another_heads_and_a_damaged_one_are_refused(place: Path, tmp_path: Path) -> None:
    save(place / "other", 4)
    file = place / "head" / "calibration.json"
    told = segment(place, tmp_path, *WORDS, "--calibration", str(file), head="other")
    assert told.exit_code == 1
    assert "of another head" in told.stderr
    damaged = tmp_path / "damaged.json"
    damaged.write_text(file.read_text().replace('"photographs": 2', '"photographs": 3'))
    told = segment(place, tmp_path, *WORDS, "--calibration", str(damaged))
    assert told.exit_code == 1
    assert "is damaged" in told.stderr


def test_a_second_run_replaces_the_first_and_the_head_stays(place: Path) -> None:
    before = (place / "head" / "model.safetensors").read_bytes()
    command = ["calibrate", str(place / "head"), str(place / "photographs"), *WORDS, "--certainty", "0.03"]
    assert RUNNER.invoke(app, command).exit_code == 0
    assert (place / "head" / "model.safetensors").read_bytes() == before


def test_the_packaged_head_needs_a_place(place: Path) -> None:
    result = RUNNER.invoke(app, ["calibrate", "offline", str(place / "photographs"), *WORDS])
    assert result.exit_code == 2
    assert "--out is needed" in result.stderr
