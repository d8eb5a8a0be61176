"""Where files of models come from, on the way from every command to every model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.models.loading.hub_files import HubOptions
from tests.models.backbones.tiny_models import hf_folder
from tests.models.hub_cache import COMMIT, cache_repository, forbid_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNER = CliRunner()
GIVEN = ["--cache-dir", "CACHE", "--local-files-only", "--token", "hf_mine"]
COMMANDS = {
    "label": ["label", "PHOTOS", "--classes", "cat", "--out", "OUT"],
    "demo": ["demo", "--out", "OUT"],
    "fit": ["fit", "LABELS", "--out", "OUT"],
    "segment": ["segment", "PHOTOS", "--head", "offline", "--classes", "cat", "--out", "OUT"],
    "eval": ["eval", "offline", "--data", "folder", "--root", "PHOTOS", "--out", "OUT"],
    "export": ["export", "offline", "--out", "OUT/head.onnx"],
}
OTHERS = {
    "words": ["words", "--classes", "cat"],
    "calibrate": ["calibrate", "offline", "PHOTOS", "--classes", "cat", "--out", "OUT"],
}
MADE_BY = {
    "label": "fmbseg.labeling.labeler.PseudoLabeler.__init__",
    "demo": "fmbseg.labeling.labeler.PseudoLabeler.__init__",
    "fit": "fmbseg.alignment.aligner.Aligner.__init__",
    "segment": "fmbseg.aligned.encoder.AlignedEncoder.from_pretrained",
    "eval": "fmbseg.aligned.encoder.AlignedEncoder.from_pretrained",
    "export": "fmbseg.aligned.encoder.AlignedEncoder.from_pretrained",
}


class _SeenError(Exception):
    """Raised in place of loading anything."""


@pytest.fixture(autouse=True)
def photographs(tmp_path: Path) -> None:
    """What commands look at before they load a model: a photograph, and a mask of it."""
    folder = tmp_path / "PHOTOS"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "images" / "a.png")
    Image.new("L", (4, 4)).save(folder / "masks" / "a.png")
    (folder / "classes.txt").write_text("0\tcat\n1\tdog\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_hands_them_to_what_loads_its_models(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[HubOptions] = []

    def remember(*_: Any, hub: HubOptions, **__: Any) -> None:
        seen.append(hub)
        raise _SeenError

    monkeypatch.setattr(MADE_BY[command], remember)
    monkeypatch.setattr("fmbseg.labels.label_set.LabelSet", lambda *_, **__: _Labels())
    result = RUNNER.invoke(app, [_placed(part, tmp_path) for part in COMMANDS[command] + GIVEN])
    assert isinstance(result.exception, _SeenError), result.output
    assert seen == [HubOptions(cache_dir=tmp_path / "CACHE", local_files_only=True, token="hf_mine")]


def test_label_takes_other_models_than_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def remember(_: Any, recipe: str, **options: Any) -> None:
        seen.update(options, recipe=recipe)
        raise _SeenError

    monkeypatch.setattr(MADE_BY["label"], remember)
    models = ["--image-text", "hf:me/clip", "--mask-generator", "superpixels"]
    RUNNER.invoke(app, [*(_placed(part, tmp_path) for part in COMMANDS["label"]), *models])
    assert (seen["recipe"], seen["image_text"], seen["mask_generator"]) == (
        "auto",
        "hf:me/clip",
        "superpixels",
    )


@pytest.mark.parametrize("command", [*(name for name in COMMANDS if name != "export"), "words", "calibrate"])
def test_a_device_that_is_not_there_is_refused_before_a_model_is_loaded(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise _SeenError

    monkeypatch.setattr("fmbseg.models.loading.create.create_model", load)
    monkeypatch.setattr("fmbseg.labels.label_set.LabelSet", lambda *_, **__: _Labels())
    result = RUNNER.invoke(
        app, [*(_placed(part, tmp_path) for part in {**COMMANDS, **OTHERS}[command]), "--device", "cuda:99"]
    )
    assert result.exit_code == 1, result.exception
    told = result.stderr.splitlines()[-1]
    assert told.startswith("error: there is no device 'cuda:99': here are ")
    assert "cpu" in told


class _Labels:
    """What is asked of labels before a model is loaded."""

    origin: dict[str, Any] = {"models": {}}  # noqa: RUF012 - never written
    vocabulary, fingerprint = ("cat", "dog"), "ab12"

    @property
    def whole(self) -> _Labels:
        return self

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(detected=(0, 1))


def _placed(part: str, folder: Path) -> str:
    return str(folder / part) if part.isupper() or part.startswith("OUT/") else part


def test_every_command_that_loads_models_has_them() -> None:
    for command in (*([name] for name in COMMANDS), ["models", "show"], ["models", "fetch"]):
        text = RUNNER.invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
        assert [one for one in ("--cache-dir", "--local-files-only", "--token") if one not in text] == []


def test_fetch_says_what_is_missing_of_models_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = forbid_network(monkeypatch)
    result = RUNNER.invoke(
        app, ["models", "fetch", "paper", "--cache-dir", str(tmp_path), "--local-files-only"]
    )
    assert result.exit_code == 1
    for role, repository in (
        ("image-text encoder open_clip:ViT-L-14-quickgelu/openai", "timm/vit_large_patch14_clip_224.openai"),
        ("mask generator hf-sam:facebook/sam-vit-huge", "facebook/sam-vit-huge"),
        ("backbone dinov2_vitl14", "timm/vit_large_patch14_dinov2.lvd142m"),
    ):
        assert f"{role}: {repository}: " in result.stderr
    assert "ready" not in result.output
    assert tried == []


def test_a_model_in_the_cache_that_is_named_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_repository(tmp_path / "hub", "me/model", hf_folder(tmp_path / "model", "vit"))
    tried = forbid_network(monkeypatch)
    result = RUNNER.invoke(app, ["models", "show", "hf:me/model", "--cache-dir", str(tmp_path / "hub")])
    assert result.exit_code == 0, result.output
    assert COMMIT in result.output
    assert tried == []
