"""What specs stand for, and the presets beside what timm itself knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import timm

from fmbseg.models.backbones.hf_kinds import ARCHITECTURES
from fmbseg.models.backbones.presets import PRESETS, gate_of
from fmbseg.models.describe import describe_backbone, model_specs
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.registries import BACKBONES
from fmbseg.unknown_name import UnknownNameError
from tests.models.backbones.tiny_models import dinov2_folder
from tests.models.hub_cache import COMMIT, cache_repository, forbid_network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_leads_to_a_repository_that_is_known(preset: str) -> None:
    family, _, name = PRESETS[preset].partition(":")
    if family == "hf":
        assert name in ARCHITECTURES
        assert gate_of(name) is not None
        return
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    # The repository is taken from the name, without timm: so that a missing file is told at once.
    assert (config.hf_hub_id, config.hf_hub_filename, config.custom_load) == (f"timm/{name}", None, False)


def test_the_presets_that_are_promised_are_there() -> None:
    dinov2 = {f"dinov2_vit{size}14{suffix}" for size in "sblg" for suffix in ("", "_reg")}
    dino = {f"dino_vit{size}{patch}" for size in "sb" for patch in (8, 16)}
    assert dinov2 | dino | {"sam_vit_b", "sam_vit_l", "sam_vit_h"} <= set(PRESETS)
    for start in ("dinov3_", "mae_", "siglip2_"):
        assert sum(name.startswith(start) for name in PRESETS) >= 3
    assert PRESETS["dinov2_vitl14"] == "timm:vit_large_patch14_dinov2.lvd142m"


# dim, stride, native size, class tokens, register tokens, licence: from the papers and model cards
KNOWN = {
    "dinov2_vits14": (384, 14, 518, 1, 0, "Apache-2.0"),
    "dinov2_vitl14": (1024, 14, 518, 1, 0, "Apache-2.0"),
    "dinov2_vitg14_reg": (1536, 14, 518, 1, 4, "Apache-2.0"),
    "dino_vitb8": (768, 8, 224, 1, 0, "Apache-2.0"),
    "mae_vith14": (1280, 14, 224, 1, 0, "CC-BY-NC-4.0"),
    "siglip2_so400m14": (1152, 14, 378, 0, 0, "Apache-2.0"),
    "tipsv2_vitb14": (768, 14, 448, 1, 1, "Apache-2.0"),
    "cradiov4_so400m16": (1152, 16, 512, 1, 9, "nvidia-open-model-license"),
    "sam_vit_b": (256, 16, 1024, 0, 0, "Apache-2.0"),
    "dinov3_vits16": (384, 16, 224, 1, 4, "DINOv3 License"),
    "dinov3_convnext_tiny": (1152, 16, 224, 0, 0, "DINOv3 License"),
}


@pytest.mark.parametrize("preset", KNOWN)
def test_what_a_preset_resolves_to(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = forbid_network(monkeypatch)
    facts = describe_backbone(preset, HubOptions(cache_dir=tmp_path))
    known = tuple(facts[name] for name in ("dim", "stride", "native_size", "class_tokens", "register_tokens"))
    assert known == KNOWN[preset][:5]
    assert facts["license"].startswith(KNOWN[preset][5])
    assert facts["spec"] == PRESETS[preset]
    assert facts["revision"] is None
    assert json.loads(json.dumps(facts))["transform"]["mean"]
    assert tried == []


def test_options_after_a_preset_are_understood() -> None:
    facts = describe_backbone("dinov2_vits14?layers=5,11&norm=false")
    assert (facts["layers"], facts["dim"], facts["final_norm"]) == ((5, 11), 768, False)
    assert facts["spec"] == "timm:vit_small_patch14_dinov2.lvd142m?layers=5,11&norm=false"


def test_the_revision_that_is_here_is_told(tmp_path: Path) -> None:
    cache_repository(tmp_path, "timm/vit_small_patch14_dinov2.lvd142m", dinov2_folder(tmp_path / "any"))
    facts = describe_backbone("dinov2_vits14", HubOptions(cache_dir=tmp_path))
    assert facts["revision"] == COMMIT


def test_a_name_without_a_tag_gets_the_tag_of_its_weights() -> None:
    assert describe_backbone("timm:vit_small_patch14_dinov2")["spec"].endswith("dinov2.lvd142m")


def test_models_are_listed_by_family_and_text() -> None:
    dinov2 = model_specs("timm", "dinov2")
    assert "timm:vit_large_patch14_dinov2.lvd142m" in dinov2
    assert all("dinov2" in spec for spec in dinov2)
    assert model_specs("sam") == ["sam:vit_b", "sam:vit_l", "sam:vit_h"]
    assert "open_clip:ViT-L-14/openai" in model_specs("open_clip", "ViT-L-14/")
    assert model_specs("hf", "vitl16") == ["hf:facebook/dinov3-vitl16-pretrain-lvd1689m"]
    with pytest.raises(UnknownNameError, match="no list of models 'tim'; did you mean 'timm'"):
        model_specs("tim")


@pytest.mark.long
def test_every_kind_of_model_of_timm_can_be_described() -> None:
    """One model, the first by name, of each of timm's modules: a hundred architectures."""
    from timm.models import _registry

    first: dict[str, str] = {}
    for name in timm.list_models():
        if not name.startswith("fmbseg_"):  # those are of other tests
            first.setdefault(_registry._model_to_module[name], name)
    assert len(first) > 80
    for name in first.values():
        facts = describe_backbone(f"timm:{name}")
        assert facts["dim"] > 0
        assert facts["native_size"] % facts["stride"] == 0
    assert BACKBONES.presets == PRESETS
