"""Towers of open_clip and SAM's encoder give what their own libraries give at their own size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from fmbseg.models.backbones import from_sam
from fmbseg.models.registries import BACKBONES
from tests.models.backbones import tiny_models as tiny

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
