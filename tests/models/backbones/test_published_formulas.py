"""TIPSv2, C-RADIO and AIMv2 as backbones: features as their authors compute them, on any grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.registries import BACKBONES
from tests.models.backbones import tiny_models as tiny
from tests.models.backbones.contract import PrecisionContract
from tests.models.image_text.tiny import tipsv2_folder
from tests.models.published_formulas import RadioVision, Tipsv2Vision

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.contracts import Backbone


def pixels(*size: int) -> torch.Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(4))


def created(spec: str) -> FrozenBackbone:
    backbone = BACKBONES.create(spec)
    assert isinstance(backbone, FrozenBackbone)
    return backbone


@pytest.mark.parametrize("size", [(42, 42), (70, 28)])
def test_features_of_tipsv2_are_those_of_the_paper(tmp_path: Path, size: tuple[int, int]) -> None:
    """By transformers from its authors' files, and by timm from the vision tower's weights alone."""
    folder = tipsv2_folder(tmp_path / "published")
    backbone = created(f"hf:local-dir:{folder}")
    assert (backbone.dim, backbone.native_size, backbone.facts.register_tokens) == (48, 42, 1)
    state = load_file(folder / "model.safetensors")
    weights = {key.removeprefix("vision_encoder."): one for key, one in state.items() if "vision" in key}
    by_hand = Tipsv2Vision(weights, heads=12).features(pixels(*size)[0])
    expected = by_hand.T.reshape(1, 48, size[0] // 14, size[1] // 14).float()
    torch.testing.assert_close(backbone.encode(pixels(*size)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(42, 42), (70, 28)])
def test_timm_resizes_the_positions_of_tipsv2_as_its_authors_do(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    shape = {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 42}
    folder = tiny.timm_folder(tmp_path / "timm", "vit_base_patch14_reg1_tipsv2", **shape)
    state = load_file(folder / "model.safetensors")
    # timm adds the class token's position to the token itself.
    renamed = {key.replace("reg_token", "register_tokens"): one for key, one in state.items()}
    table = torch.cat([torch.zeros(1, 1, 24), renamed["pos_embed"]], dim=1)
    formula = Tipsv2Vision({**renamed, "pos_embed": table}, heads=2)
    expected = formula.features(pixels(*size)[0]).T.reshape(1, 24, size[0] // 14, size[1] // 14).float()
    backbone = created(f"local-dir:{folder}")
    torch.testing.assert_close(backbone.encode(pixels(*size)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (160, 32)])
def test_features_of_c_radio_are_those_of_the_paper(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = tiny.hf_folder(tmp_path / "radio", "radio")
    (folder / "preprocessor_config.json").unlink()  # the model normalises by itself
    backbone = created(f"hf:local-dir:{folder}")
    assert backbone.transform.mean == (0.0, 0.0, 0.0)
    assert (backbone.facts.class_tokens, backbone.facts.register_tokens) == (2, 3)
    assert not backbone.facts.final_norm
    formula = RadioVision(load_file(folder / "model.safetensors"), heads=2, side=16)
    expected = formula.features(pixels(*size)[0]).T.reshape(1, 32, size[0] // 16, size[1] // 16).float()
    torch.testing.assert_close(backbone.encode(pixels(*size)), expected, rtol=0, atol=1e-4)
    with pytest.raises(SpecError, match="RadioModel ends without a norm: leave out `norm`"):
        created(f"hf:local-dir:{folder}?norm=true")


class TestAimv2OfOneSize(PrecisionContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backbone(cls, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
        folder = tmp_path_factory.mktemp("aimv2")
        made = BACKBONES.create(f"local-dir:{tiny.hf_folder(folder, 'aimv2')}")
        with pytest.raises(SpecError, match="this model has one size, 64 px: leave out `size`"):
            BACKBONES.create(f"{made.spec}?size=96")
        return made
