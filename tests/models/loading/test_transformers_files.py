"""Folders of transformers: refused alike in every role, and no file outside of them is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors.torch import load_file, save_file

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from tests.models.backbones.tiny_models import hf_folder
from tests.models.image_text import tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INDEX = "model.safetensors.index.json"


class Harmful:
    """A pickle of this would touch a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return hf_folder(tmp_path / "model", "clip")


def test_a_pickle_that_would_run_code_is_refused_by_our_error(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": Harmful(tmp_path / "touched")}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin is not a file of plain tensors .*run code"):
        BACKBONES.create(f"hf:local-dir:{folder}")
    assert not (tmp_path / "touched").exists()


def test_a_pickle_of_plain_tensors_is_read(folder: Path) -> None:
    expected = BACKBONES.create(f"hf:local-dir:{folder}")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    pixels = torch.rand(1, 3, expected.stride * 2, expected.stride * 2)
    assert torch.equal(BACKBONES.create(f"hf:local-dir:{folder}").encode(pixels), expected.encode(pixels))


def in_parts(folder: Path, part: str) -> None:
    """Move the weights into a file that an index names."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(state, folder / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    content = {"metadata": {}, "weight_map": dict.fromkeys(state, part)}
    (folder / INDEX).write_text(json.dumps(content))


@pytest.mark.parametrize("silent", [True, False])
def test_the_progress_bars_of_the_hubs_client_stay_as_they_were(folder: Path, silent: bool) -> None:
    before = are_progress_bars_disabled()
    try:
        (disable_progress_bars if silent else enable_progress_bars)()
        BACKBONES.create(f"local-dir:{folder}")
        assert are_progress_bars_disabled() is silent
    finally:
        (disable_progress_bars if before else enable_progress_bars)()


def test_weights_in_parts_are_read(folder: Path) -> None:
    expected = BACKBONES.create(f"hf:local-dir:{folder}")
    in_parts(folder, "model-00001-of-00001.safetensors")
    pixels = torch.rand(1, 3, expected.stride * 2, expected.stride * 2)
    assert torch.equal(BACKBONES.create(f"hf:local-dir:{folder}").encode(pixels), expected.encode(pixels))


@pytest.mark.parametrize("part", ["../outside.safetensors", "/etc/passwd", "a/../../x.safetensors"])
def test_a_part_that_lies_elsewhere_is_refused(folder: Path, part: str) -> None:
    in_parts(folder, part)
    with pytest.raises(WeightsError, match=r"index\.json .*leads out of the folder"):
        BACKBONES.create(f"hf:local-dir:{folder}")


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}', "[" * 100_000]
)
def test_an_index_that_is_none_is_refused(folder: Path, content: str) -> None:
    in_parts(folder, "model-00001-of-00001.safetensors")
    (folder / INDEX).write_text(content)
    with pytest.raises(WeightsError, match=r"index\.json"):
        BACKBONES.create(f"hf:local-dir:{folder}")


def test_a_part_that_is_missing_is_named(folder: Path) -> None:
    in_parts(folder, "model-00002-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"names model-00002-of-00002\.safetensors, which is not there"):
        BACKBONES.create(f"hf:local-dir:{folder}")


@pytest.mark.parametrize("role", ["backbone", "image-text encoder"])
@pytest.mark.parametrize("stated", [None, {}, {"image_mean": [0.5] * 3}, {"image_mean": "x", "resample": 9}])
def test_an_unstated_preprocessing_is_refused_in_every_role(
    tmp_path: Path, role: str, stated: dict[str, object] | None
) -> None:
    folder = tiny.transformers_folder(tmp_path / "clip", "clip")
    path = folder / "preprocessor_config.json"
    path.unlink() if stated is None else path.write_text(json.dumps(stated))
    registry = BACKBONES if role == "backbone" else IMAGE_TEXT
    message = r"preprocessor_config\.json: put the model's own there" if stated is None else "does not guess"
    with pytest.raises((WeightsError, RuntimeError), match=message):
        registry.create(f"hf:local-dir:{folder}")


@pytest.mark.parametrize("damage", [{"vision_config": "x"}, {"vision_config": {"patch_size": []}}])
def test_a_configuration_with_values_of_other_types_is_refused(
    folder: Path, damage: dict[str, object]
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | damage))
    with pytest.raises(ValueError, match=str(folder)):
        BACKBONES.create(f"hf:local-dir:{folder}")
