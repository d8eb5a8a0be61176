"""Towers of open_clip and SAM's encoder give what their own libraries give at their own size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from open_clip import factory, pretrained

from fmbseg.models.backbones import from_sam
from fmbseg.models.describe import describe_backbone
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.registries import BACKBONES
from tests.models.backbones import tiny_models as tiny
from tests.models.hub_cache import COMMIT, cache_repository, forbid_network

if TYPE_CHECKING:
    from pathlib import Path


def test_open_clips_transformer_gives_its_own_normalised_tokens(tmp_path: Path) -> None:
    from open_clip import CLIP
    from safetensors.torch import load_file

    folder = tiny.open_clip_folder(tmp_path, tiny.CLIP_TRANSFORMER)
    model = CLIP(
        embed_dim=16,
        vision_cfg=tiny.CLIP_TRANSFORMER,
        text_cfg={"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1},
    ).eval()
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    pixels = torch.randn(2, 3, 64, 64)
    visual = model.visual
    with torch.no_grad():
        tokens = visual.ln_post(visual.transformer(visual._embeds(pixels)))
    expected = tokens[:, 1:].reshape(2, 4, 4, 32).permute(0, 3, 1, 2)
    torch.testing.assert_close(BACKBONES.create(f"local-dir:{folder}").encode(pixels), expected)


def pickled(source: Path, target: Path, name: str) -> Path:
    """The same repository with its weights in a pickle of tensors, under another name."""
    from safetensors.torch import load_file

    target.mkdir()
    (target / "open_clip_config.json").write_bytes((source / "open_clip_config.json").read_bytes())
    torch.save(load_file(source / "open_clip_model.safetensors"), target / name)
    return target


def test_a_repository_of_open_clip_is_named_as_open_clip_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = forbid_network(monkeypatch)
    folder = tiny.open_clip_folder(tmp_path / "made", tiny.CLIP_TRANSFORMER)
    cache_repository(tmp_path / "hub", "me/clip", folder)
    older = pickled(folder, tmp_path / "older", "open_clip_pytorch_model.bin")
    cache_repository(tmp_path / "hub", "me/older", older)
    pixels = torch.randn(1, 3, 64, 48)
    expected = BACKBONES.create(f"local-dir:{folder}").encode(pixels)
    for repo in ("me/clip", "me/older"):
        backbone = BACKBONES.create(f"open_clip:hf-hub:{repo}", hub=HubOptions(cache_dir=tmp_path / "hub"))
        assert backbone.spec == f"open_clip:hf-hub:{repo}?revision={COMMIT}"
        assert torch.equal(backbone.encode(pixels), expected)
        facts = describe_backbone(f"open_clip:hf-hub:{repo}", HubOptions(cache_dir=tmp_path / "hub"))
        assert (facts["source"], facts["revision"], facts["dim"]) == (repo, COMMIT, 32)
    assert tried == []
    with pytest.raises(
        RuntimeError, match=r"me/none: open_clip_config\.json, open_clip_model\.safetensors are"
    ):
        BACKBONES.create(
            "open_clip:hf-hub:me/none", hub=HubOptions(cache_dir=tmp_path / "hub", local_files_only=True)
        )


def test_a_tag_may_name_the_file_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.open_clip_folder(tmp_path / "made", tiny.CLIP_TRANSFORMER)
    source = pickled(folder, tmp_path / "source", "pytorch_model.bin")
    cache_repository(tmp_path / "hub", "someone/tiny", source)
    model = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    known = {"hf_hub": "someone/tiny/pytorch_model.bin", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny-vit", model)
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-vit", {"one": known})
    backbone = BACKBONES.create(
        "open_clip:tiny-vit/one", hub=HubOptions(cache_dir=tmp_path / "hub", local_files_only=True)
    )
    assert backbone.transform.mean == (0.1, 0.2, 0.3)
    pixels = torch.randn(1, 3, 32, 64)
    assert torch.equal(backbone.encode(pixels), BACKBONES.create(f"local-dir:{folder}").encode(pixels))
    assert (
        describe_backbone("open_clip:tiny-vit/one", HubOptions(cache_dir=tmp_path / "hub"))["revision"]
        == COMMIT
    )


def test_sams_encoder_gives_its_own_features_at_its_own_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(from_sam.SIZES, "tiny", tiny.TINY_SAM)
    path = tiny.sam_checkpoint(tmp_path / "sam.pth")
    encoder = from_sam._encoder(tiny.TINY_SAM)
    state = torch.load(path, weights_only=True)
    encoder.load_state_dict(
        {name.removeprefix("image_encoder."): tensor for name, tensor in state.items() if "encoder" in name}
    )
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = encoder(pixels)
    backbone = BACKBONES.create(f"sam:tiny@{path}")
    torch.testing.assert_close(backbone.encode(pixels), expected)
    assert (backbone.dim, backbone.license) == (256, "Apache-2.0")
    assert BACKBONES.create(f"sam:tiny@{path}?norm=false").dim == 32


def test_sam_through_transformers_gives_its_own_features(tmp_path: Path) -> None:
    import transformers

    folder = tiny.hf_folder(tmp_path, "sam")
    model: Any = transformers.SamModel.from_pretrained(folder)
    model.eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.get_image_embeddings(pixels)
    torch.testing.assert_close(BACKBONES.create(f"local-dir:{folder}").encode(pixels), expected)


def test_a_missing_checkpoint_of_sam_names_three_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        BACKBONES.create("sam:vit_h")
    for part in ("sam_vit_h_4b8939.pth", str(tmp_path / "sam"), "sam:vit_h@", "hf:facebook/sam-vit-huge"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("model_type", "class_tokens"), [("vit", 1), ("clip", 1), ("deit", 2), ("siglip", 0), ("vit_mae", 1)]
)
def test_tokens_of_transformers_are_those_of_the_model_itself(
    tmp_path: Path, model_type: str, class_tokens: int
) -> None:
    import transformers

    folder = tiny.hf_folder(tmp_path, model_type)
    name = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}.get(model_type)
    loader = getattr(transformers, name or tiny.HF_MODELS[model_type][0])
    options = {"mask_ratio": 0.0} if model_type == "vit_mae" else {}
    model: Any = loader.from_pretrained(folder, **options).eval()
    pixels = torch.randn(1, 3, 64, 64)
    arguments = {"noise": torch.arange(16.0)[None]} if model_type == "vit_mae" else {}
    with torch.no_grad():
        tokens = model(pixel_values=pixels, **arguments).last_hidden_state
        if model_type == "clip":  # its final norm is applied to the class token alone
            tokens = next(m for n, m in model.named_modules() if n.endswith("post_layernorm"))(tokens)
    expected = tokens[:, class_tokens:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
    torch.testing.assert_close(BACKBONES.create(f"local-dir:{folder}").encode(pixels), expected)


def test_naflex_patches_are_cut_as_its_own_processor_cuts_them(tmp_path: Path) -> None:
    import transformers

    folder = tiny.hf_folder(tmp_path, "siglip2")
    model: Any = transformers.Siglip2VisionModel.from_pretrained(folder)
    model.eval()
    processor: Any = transformers.Siglip2ImageProcessor(do_resize=False, do_rescale=False, do_normalize=False)
    pixels = torch.rand(1, 3, 32, 48)
    cut = processor(pixels[0], patch_size=16, max_num_patches=6, do_resize=False, return_tensors="pt")
    with torch.no_grad():
        tokens = model(**cut).last_hidden_state
    expected = tokens.reshape(1, 2, 3, 32).permute(0, 3, 1, 2)
    torch.testing.assert_close(BACKBONES.create(f"local-dir:{folder}").encode(pixels), expected)
