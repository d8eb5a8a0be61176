"""The heads of the package: small, whole, of the recipe's models, and of use at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.saved import SavedHead
from fmbseg.cli.main import app
from fmbseg.heads import DEFAULT_HEAD, packaged_head, packaged_heads
from fmbseg.recipes import RECIPES, get_recipe, segmenting_with
from fmbseg.segment_settings import Background, SegmentSettings
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["cat", "rocket", "coffee cup", "motorcycle"]


def test_those_there_are() -> None:
    assert DEFAULT_HEAD in packaged_heads()
    assert packaged_head("of_nobody") is None
    assert {recipe.head for recipe in RECIPES.values()} - {None} == set(packaged_heads())


@pytest.mark.parametrize("name", packaged_heads())
def test_each_is_small_and_tells_how_good_it_is(name: str) -> None:
    folder = packaged_head(name)
    assert folder is not None
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["README.md", "config.json", "model.safetensors"]
    assert sum(file.stat().st_size for file in files) <= 6_000_000
    saved, recipe = SavedHead.find(name), next(one for one in RECIPES.values() if one.head == name)
    assert (saved.config.backbone, saved.config.text_encoder) == (recipe.backbone, recipe.image_text)
    assert saved.config.hubness == recipe.hubness
    assert saved.config.training["settings"].items() >= dict(recipe.training).items()
    assert "| miou | " in saved.written_card
    assert not saved.from_hub


@pytest.mark.parametrize(
    ("picture", "word"), [("chelsea.png", "cat"), ("rocket.jpg", "rocket"), ("coffee.png", "coffee cup")]
)
def test_it_finds_what_a_photograph_is_of(picture: str, word: str) -> None:
    segmenter = OpenVocabSegmenter.from_pretrained(DEFAULT_HEAD, settings=SegmentSettings())
    found = segmenter.segment(photograph(picture), WORDS, settings=SegmentSettings(certainty=0.0))
    height, width = found.labels.shape
    middle = found.labels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    assert (middle == WORDS.index(word)).mean() > 0.5
    assert found.certainty is not None
    assert segmenter.settings.certainty is not None
    sure = found.certainty >= segmenter.settings.certainty  # what it would not leave blank by default
    assert (found.labels[sure] == WORDS.index(word)).mean() > 0.7 or not sure.any()


def test_the_command_takes_it_where_none_is_named(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(photograph("chelsea.png")).save(tmp_path / "cat.png")
    result = CliRunner().invoke(
        app, ["segment", str(tmp_path / "cat.png"), "--classes", "cat,rocket", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert "cat" in result.stdout
    told = "settings: --short-side 640 --whole --preserve 0.5 --refine cutouts:mobilesam (--plain: the head"
    assert told in result.stderr


def test_its_recipes_settings_are_those_of_heads_of_the_same_models(tmp_path: Path) -> None:
    suited = get_recipe(DEFAULT_HEAD).segmenting
    segmenter = OpenVocabSegmenter.from_pretrained(DEFAULT_HEAD)
    assert (segmenter.settings.windows, segmenter.settings.refine) == (suited.windows, suited.refine)
    assert segmenter.settings.preserve == suited.preserve
    assert segmenter.settings.background == Background("common")
    segmenter.save_pretrained(tmp_path / "own")
    assert OpenVocabSegmenter.from_pretrained(tmp_path / "own").settings == segmenter.settings
    assert segmenting_with("hf:me/encoder", "conse") == SegmentSettings()


def test_a_folder_of_its_name_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_HEAD).mkdir()
    with pytest.raises(AlignedEncoderError, match="holds no aligned encoder"):
        OpenVocabSegmenter.from_pretrained(DEFAULT_HEAD)


def test_a_folder_that_is_not_there_is_not_taken_for_a_damaged_head(tmp_path: Path) -> None:
    with pytest.raises(AlignedEncoderError, match=r"there is no folder .*missing: a head is a folder that"):
        OpenVocabSegmenter.from_pretrained(tmp_path / "missing")
