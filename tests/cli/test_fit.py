import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmbseg.cli.main import app
from tests.cli.conftest import Chain

pytestmark = pytest.mark.long  # the fixture `chain` labels and trains


def test_fit_saves_a_head_with_its_settings(chain: Chain) -> None:
    assert chain.fit.exit_code == 0, chain.fit.output
    assert "2 photographs in 2 epochs, loss " in chain.fit.stdout
    config = json.loads((chain.head / "config.json").read_text())
    assert config["training"]["settings"]["epochs"] == 2
    assert config["training"]["settings"]["image_size"] == 96
    assert config["text_encoder"]["spec"] == "conse"


def test_a_folder_without_labels_says_how_to_make_some(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fit", str(tmp_path), "--out", str(tmp_path / "head")])
    assert result.exit_code == 1
    assert "holds no label set" in result.stderr
    assert "fmbseg label" in result.stderr


def test_a_setting_out_of_range_is_named(chain: Chain, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fit", str(chain.labels), "--out", str(tmp_path), "--epochs", "0"])
    assert result.exit_code == 1
    assert "error: epochs must be a positive whole number; got 0" in result.stderr


def test_a_loss_or_a_head_that_there_is_not_is_named(chain: Chain, tmp_path: Path) -> None:
    for option, value, name in (("--loss", "triplet", "loss"), ("--head-kind", "conv", "head_kind")):
        result = CliRunner().invoke(
            app, ["fit", str(chain.labels), "--out", str(tmp_path / "head"), option, value]
        )
        assert result.exit_code == 1
        assert f"error: {name} must be one of" in result.stderr
        assert repr(value) in result.stderr
