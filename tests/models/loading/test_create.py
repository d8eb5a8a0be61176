"""Options of the Hub on their way to models, and heads that come back without network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.aligner import Aligner
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.segmentation.segmenter import OpenVocabSegmenter
from tests.aligned.tiny import TinyImageText
from tests.models.backbones.tiny_models import dinov2_folder, hf_folder
from tests.models.hub_cache import COMMIT, cache_repository, forbid_network

if TYPE_CHECKING:
    from pathlib import Path


def test_models_that_are_not_from_the_hub_get_none_of_its_options() -> None:
    hub = HubOptions(cache_dir="somewhere", local_files_only=True, token="hf_mine")
    assert create_model(BACKBONES, "tiny-test", hub).spec == "tiny-test"


def test_a_labeler_hands_them_to_the_models_that_take_them() -> None:
    seen: dict[str, Any] = {}

    class FromTheHub(TinyImageText):
        def __init__(self, hub: HubOptions | None = None) -> None:
            super().__init__()
            seen["hub"] = hub

    IMAGE_TEXT.register("from-the-hub-test")(FromTheHub)
    hub = HubOptions(cache_dir="somewhere", local_files_only=True)
    PseudoLabeler(image_text="from-the-hub-test", mask_generator="superpixels", hub=hub)
    assert seen == {"hub": hub}


def test_options_reach_the_model(tmp_path: Path) -> None:
    cache_repository(tmp_path / "hub", "me/model", hf_folder(tmp_path / "model", "vit"))
    hub = HubOptions(cache_dir=tmp_path / "hub", local_files_only=True, revision=COMMIT)
    assert create_model(BACKBONES, "hf:me/model", hub).spec == f"hf:me/model?revision={COMMIT}"


@pytest.mark.parametrize("family", ["timm", "hf"])
def test_a_saved_head_reads_the_encoder_once_and_leaves_the_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    folder = tmp_path / "model"
    spec = f"{'timm:hf-hub' if family == 'timm' else 'hf'}:me/encoder?layers=0,1&precision=bf16"
    dinov2_folder(folder) if family == "timm" else hf_folder(folder, "dinov2")
    snapshot = cache_repository(tmp_path / "hub", "me/encoder", folder)
    hub = HubOptions(cache_dir=tmp_path / "hub")
    reads = count_reads(monkeypatch)
    backbone = create_model(BACKBONES, spec, hub)
    once = reads.count(str(snapshot / "model.safetensors"))
    assert once
    encoder = AlignedEncoder(backbone, AlignmentHead(backbone.dim, 16), "tiny-test")
    encoder.save_pretrained(tmp_path / "head")
    assert encoder.config.backbone == backbone.spec
    assert f"revision={COMMIT}" in backbone.spec
    pixels = torch.randn(1, 3, 2 * backbone.stride, 3 * backbone.stride)

    tried = forbid_network(monkeypatch)
    reads.clear()
    loaded = OpenVocabSegmenter.from_pretrained(tmp_path / "head", hub=hub).encoder
    assert isinstance(loaded, AlignedEncoder)
    assert torch.equal(loaded.encode(pixels), encoder.encode(pixels))
    assert loaded.backbone.spec == backbone.spec
    assert reads.count(str(snapshot / "model.safetensors")) == once
    assert Aligner.from_pretrained(tmp_path / "head", hub=hub).encoder.backbone.spec == backbone.spec
    assert reads.count(str(snapshot / "model.safetensors")) == 2 * once
    assert tried == []


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Remember every file that safetensors opens, however it is asked."""
    reads: list[str] = []
    opened = safetensors.safe_open

    def remember(filename: Any, *arguments: Any, **options: Any) -> Any:
        reads.append(str(filename))
        return opened(filename, *arguments, **options)

    import transformers.modeling_utils

    monkeypatch.setattr(safetensors.torch, "safe_open", remember)
    monkeypatch.setattr(transformers.modeling_utils, "safe_open", remember)
    return reads
