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
    assert "error: epochs is 0: it must be a positive whole number" in result.stderr


def test_a_loss_or_a_head_that_there_is_not_is_named(chain: Chain, tmp_path: Path) -> None:
    for option, value, name in (("--loss", "triplet", "loss"), ("--head-kind", "conv", "head_kind")):
        result = CliRunner().invoke(
            app, ["fit", str(chain.labels), "--out", str(tmp_path / "head"), option, value]
        )
        assert result.exit_code == 1
        assert f"error: {name} is {value!r}: it must be one of" in result.stderr


def test_any_setting_goes_by_name_and_value(chain: Chain, tmp_path: Path) -> None:
    given = ["--epochs", "1", "--image-size", "96", "--set", "optimizer=sgd", "--set", "class_cap=3"]
    kept = ["--checkpoint", str(tmp_path / "run"), "--tensorboard"]
    result = CliRunner().invoke(
        app, ["fit", str(chain.labels), "--out", str(tmp_path / "head"), *given, *kept]
    )
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "head" / "config.json").read_text())["training"]["settings"]
    assert (settings["optimizer"], settings["class_cap"]) == ("sgd", 3)
    assert (tmp_path / "run" / "training.pt").is_file()
    logs = tmp_path / "head" / "logs"
    assert len((logs / "epochs.csv").read_text().splitlines()) == 2
    assert list(logs.glob("events.out.tfevents.*"))


def test_a_head_to_go_on_from(chain: Chain, tmp_path: Path) -> None:
    given = ["--start", str(chain.head), "--set", "distillation=0.5", "--epochs", "1"]
    result = CliRunner().invoke(app, ["fit", str(chain.labels), "--out", str(tmp_path / "head"), *given])
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "head" / "config.json").read_text())["training"]["settings"]
    assert (settings["distillation"], settings["epochs"], settings["image_size"]) == (0.5, 1, 96)
    refused = CliRunner().invoke(
        app, ["fit", str(chain.labels), "--out", str(tmp_path), *given, "--backbone", "efficientnet_lite2"]
    )
    assert refused.exit_code == 2
    assert "leave out --backbone" in refused.output


def test_a_dry_run_says_how_large_the_features_would_be(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "head"
    result = CliRunner().invoke(
        app, ["fit", str(chain.labels), "--out", str(out), "--dry-run", "--set", "cache_gb=1e-9"]
    )
    assert result.exit_code == 0, result.output
    assert "features of 2 photographs take " in result.stdout
    assert (
        "at 448 px; the budget is 1e-09 GB (cache_gb): they are computed again in every epoch"
        in result.stdout
    )
    assert not out.exists()


def test_a_setting_without_a_value_is_told(chain: Chain, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fit", str(chain.labels), "--out", str(tmp_path), "--set", "warmup"])
    assert result.exit_code == 2
    assert "write NAME=VALUE" in result.output
