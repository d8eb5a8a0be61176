from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.labels.label_set import LabelSet
from tests.cli.conftest import CLASSES, Chain

pytestmark = pytest.mark.long  # the fixture `chain` labels and trains

RUNNER = CliRunner()


def test_one_bad_file_ends_no_run_but_is_told_and_strict_fails(chain: Chain) -> None:
    assert chain.label.exit_code == 1
    labels = LabelSet(chain.labels)
    assert [image.path for image in labels] == ["cat.png", "rocket.jpg"]
    assert f"{chain.labels}: 2 photographs labelled, 1 not" in chain.label.stdout
    told = [line for line in chain.label.stderr.splitlines() if line.startswith("not labelled: notes.jpg")]
    assert len(told) == 1
    assert "is not an image" in told[0]


def test_the_stand_in_is_told(chain: Chain) -> None:
    assert "warning: mask generator mobilesam: its weights are not here" in chain.label.stderr
    assert LabelSet(chain.labels).manifest["models"]["mask_generator"] == "superpixels"


def test_the_summary_counts_classes(chain: Chain) -> None:
    assert "classes (photographs): " in chain.label.stdout
    assert "cat (1)" in chain.label.stdout


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "no_such_folder"
    result = RUNNER.invoke(app, ["label", str(missing), "--classes", CLASSES, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"error: {missing} does not exist" in result.stderr


@pytest.mark.parametrize("words", [[], ["--classes", "cat", "--vocabulary", "voc20"]])
def test_words_are_given_once(words: list[str], tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["label", str(tmp_path), *words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "--vocabulary FILE_OR_NAME" in " ".join(result.stderr.replace("│", "").split())


def test_an_unknown_recipe_offers_near_misses(tmp_path: Path) -> None:
    result = RUNNER.invoke(
        app,
        ["label", str(tmp_path), "--classes", "cat", "--recipe", "ofline", "--out", str(tmp_path / "out")],
    )
    assert result.exit_code == 1
    assert "error: there is no recipe 'ofline'; did you mean 'offline'?" in result.stderr
