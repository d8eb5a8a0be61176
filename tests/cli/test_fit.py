import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmbseg.aligned.files import digest_of
from fmbseg.aligned.saved import SavedHead
from fmbseg.cli.fit import _suited
from fmbseg.cli.main import app
from fmbseg.labels.label_set import LabelSet
from tests.cli.conftest import Chain
from tests.labels.pictures import write_labels

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
    given = ["--from-scratch", "--epochs", "1", "--image-size", "96"]
    given += ["--set", "optimizer=sgd", "--set", "class_cap=3"]
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


def test_few_photographs_go_on_from_the_packaged_head_which_is_kept_where_none_is_surely_better(
    chain: Chain, tmp_path: Path
) -> None:
    given = ["--epochs", "1", "--image-size", "96", "--set", "min_coverage=0.1"]
    result = CliRunner().invoke(app, ["fit", str(chain.labels), "--out", str(tmp_path / "head"), *given])
    assert result.exit_code == 0, result.output
    assert "2 photographs are fewer than 500: continuing from the packaged head 'offline' if" in result.stderr
    assert (
        "the head 'offline' is kept, for training did not surely make it better: 2 photographs are too"
        in (result.stdout)
    )
    kept, packaged = SavedHead.find(str(tmp_path / "head")), SavedHead.find("offline")
    assert digest_of(kept.head.state_dict()) == digest_of(packaged.head.state_dict())
    assert kept.config.certainty == packaged.config.certainty
    assert kept.config.hubness == packaged.config.hubness
    assert kept.config.training["kept"]["settings"]["distillation"] == 1.0
    assert "| kept after cross-validation | 2 photographs are too few" in (
        (tmp_path / "head" / "README.md").read_text()
    )


def test_when_nothing_is_to_be_started_from(chain: Chain, tmp_path: Path) -> None:
    labels = LabelSet(chain.labels)
    assert _suited(labels, None, "offline") == "offline"
    assert _suited(labels, "efficientnet_lite2", "offline") is None  # another encoder
    assert _suited(labels, None, "paper") is None
    both = ["--start", str(chain.head), "--from-scratch"]
    refused = CliRunner().invoke(app, ["fit", str(chain.labels), "--out", str(tmp_path / "head"), *both])
    assert refused.exit_code == 2
    assert "give either --start or --from-scratch" in refused.output


def test_all_masks_are_learned_unless_only_certain_ones_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def count(source: LabelSet) -> None:
        seen.append(sum(len(image.masks) for image in source))
        raise ValueError("counted")

    monkeypatch.setattr("fmbseg.alignment.early_checks.check_labels", count)
    labels = write_labels(tmp_path, settings={"certainty": 1.0})
    given = [
        "fit",
        str(labels.folder),
        "--out",
        str(tmp_path / "head"),
        "--from-scratch",
        "--recipe",
        "offline",
    ]
    for asked in ([], ["--certainty", "1"]):
        assert "counted" in CliRunner().invoke(app, [*given, *asked]).stderr
    assert seen == [15, sum(len(image.masks) for image in labels)]
    assert seen[1] < 15
    refused = CliRunner().invoke(app, [*given, "--certainty", "2"])
    assert "certainty is 2.0: it must be a number from 0 to 1" in refused.stderr
