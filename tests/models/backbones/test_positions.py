"""Position embeddings of ViTs of timm off their own size: as the authors of the weights interpolate them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file

from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.registries import BACKBONES
from tests.models.backbones.tiny_models import timm_folder
from tests.models.hub_cache import cache_repository, forbid_network

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.contracts import Backbone

NAME, SIDE, PATCH = "vit_small_patch16_224", 14, 16
SHAPE: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}


@pytest.fixture(params=["dino", "mae"])
def tag(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(tmp_path: Path, tag: str) -> Path:
    """A repository as timm writes it, with the tag of its weights."""
    made = timm_folder(tmp_path / "model", NAME, **SHAPE)
    config = json.loads((made / "config.json").read_text())
    config["pretrained_cfg"] |= {"tag": tag, "input_size": [3, 224, 224]}
    (made / "config.json").write_text(json.dumps(config))
    return made


def by_hand(folder: Path, tag: str, pixels: torch.Tensor) -> torch.Tensor:
    """timm's own model of the wanted size, its table made from the weights' by the authors' formula.

    DINO's code scales by (side + 0.1) / 14, MAE's resizes to the sides themselves; both bicubic.
    """
    grid = (pixels.shape[2] // PATCH, pixels.shape[3] // PATCH)
    state = load_file(folder / "model.safetensors")
    table = state["pos_embed"][:, 1:].reshape(1, SIDE, SIDE, 32).permute(0, 3, 1, 2)
    if tag == "dino":
        scale = ((grid[0] + 0.1) / SIDE, (grid[1] + 0.1) / SIDE)
        resized = F.interpolate(table, scale_factor=scale, mode="bicubic")
    else:
        resized = F.interpolate(table, size=grid, mode="bicubic", align_corners=False)
    patches = resized.permute(0, 2, 3, 1).reshape(1, -1, 32)
    state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], patches], dim=1)
    model: Any = timm.create_model(NAME, num_classes=0, img_size=tuple(pixels.shape[2:]), **SHAPE).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        tokens = model.forward_features(pixels)[:, 1:]
    expected: torch.Tensor = tokens.reshape(len(pixels), *grid, 32).permute(0, 3, 1, 2)
    return expected


def test_a_folder_and_a_repository_are_read_as_the_name_with_its_tag_is(
    tmp_path: Path, folder: Path, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_network(monkeypatch)
    cache_repository(tmp_path / "hub", "me/model", folder)
    pixels = torch.randn(2, 3, 80, 144, generator=torch.Generator().manual_seed(5))
    expected = by_hand(folder, tag, pixels)
    made: list[Backbone] = [
        BACKBONES.create(f"local-dir:{folder}"),
        BACKBONES.create("timm:hf-hub:me/model", hub=HubOptions(cache_dir=tmp_path / "hub")),
    ]
    for backbone in made:
        torch.testing.assert_close(backbone.encode(pixels), expected, rtol=1e-3, atol=1e-4)


def test_the_two_ways_differ_where_the_weights_do_not(folder: Path, tag: str) -> None:
    """So that the test above can tell them apart."""
    pixels = torch.randn(1, 3, 80, 144, generator=torch.Generator().manual_seed(5))
    other = {"dino": "mae", "mae": "dino"}[tag]
    assert (by_hand(folder, tag, pixels) - by_hand(folder, other, pixels)).abs().max() > 1e-3
