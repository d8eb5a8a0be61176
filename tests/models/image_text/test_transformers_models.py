"""transformers' image-text models: equal to transformers' own, and to the formulas."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fmbseg.missing_package import MissingPackageError
from fmbseg.models.image_text.dense_variants import DENSE_VARIANTS
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.transformers_models import hf
from fmbseg.models.image_text.transformers_towers import FAMILIES
from fmbseg.models.loading.errors import AssetUnavailableError, SpecError, WeightsError
from tests.models.image_text import tiny
from tests.models.image_text.contract import PROMPTS, ImageTextContract
from tests.models.image_text.formulas import ClipTower

KINDS = ("aimv2", "clip", "metaclip_2", "siglip", "siglip2", "tipsv2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("transformers")
    return {kind: tiny.transformers_folder(home / kind, kind) for kind in KINDS}


def load(folder: Path, **options: Any) -> TowerEncoder:
    return hf(f"local-dir:{folder}", **options)


def pixels(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


class TestClip(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["clip"])


class TestSiglip(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["siglip"])


class TestSiglip2(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["siglip2"])


class TestMetaclip2(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["metaclip_2"])


class TestAimv2(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["aimv2"])


class TestTipsv2(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["tipsv2"])


def library_inputs(kind: str, crops: torch.Tensor) -> dict[str, Any]:
    """What transformers' own processors would make of crops; NaFlex takes lists of patches."""
    if kind != "siglip2":
        return {"pixel_values": crops}
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    patches = torch.stack([torch.from_numpy(convert_image_to_patches(crop.numpy(), 8)) for crop in crops])
    return {
        "pixel_values": patches,
        "pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.long),
        "spatial_shapes": torch.tensor([[4, 4]] * len(crops)),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_pooled_and_text_vectors_are_those_of_transformers(folders: dict[str, Path], kind: str) -> None:
    ours = load(folders[kind])
    assert ours.crop_size == 32  # 36 px of the SigLIP hold four patches of 8, as those of 32 do
    library = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    # SigLIP was trained on padded texts; what the others make of a text does not depend on padding.
    padded = {"padding": "max_length", "return_attention_mask": False} if kind.startswith("siglip") else {}
    given = {"truncation": True, "max_length": 12, "return_tensors": "pt", **padded}
    with torch.no_grad():
        image = library.get_image_features(**library_inputs(kind, pixels(32))).pooler_output
        each = [library.get_text_features(**tokenizer(one, **given)).pooler_output for one in PROMPTS]
    text = torch.cat(each)
    pairs = [(ours.encode_image(pixels(32)).pooled, image), (ours.encode_text(PROMPTS), text)]
    if kind == "aimv2":  # whose text tower transformers runs both ways where there is no padding
        del pairs[1]
    for vectors, expected in pairs:
        expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-4)


def clip_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Those of the vision tower by open_clip's names."""
    state = load_file(folder / "model.safetensors")
    prefix = "vision_model."
    renamed = {
        "class_embedding": state[f"{prefix}embeddings.class_embedding"],
        "conv1.weight": state[f"{prefix}embeddings.patch_embedding.weight"],
        "positional_embedding": state[f"{prefix}embeddings.position_embedding.weight"],
        "proj": state["visual_projection.weight"].T,
    }
    for end in ("weight", "bias"):
        renamed[f"ln_pre.{end}"] = state[f"{prefix}pre_layrnorm.{end}"]
        renamed[f"ln_post.{end}"] = state[f"{prefix}post_layernorm.{end}"]
        for layer in range(3):
            old, new = f"{prefix}encoder.layers.{layer}", f"transformer.resblocks.{layer}"
            renamed[f"{new}.attn.in_proj_{end}"] = torch.cat(
                [state[f"{old}.self_attn.{one}_proj.{end}"] for one in "qkv"]
            )
            pairs = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2"}
            pairs |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
            for ours, theirs in pairs.items():
                renamed[f"{new}.{ours}.{end}"] = state[f"{old}.{theirs}.{end}"]
    return renamed


@pytest.mark.parametrize(
    ("kind", "dense"), [*(("clip", one) for one in DENSE_VARIANTS), ("metaclip_2", "value")]
)
def test_dense_vectors_are_those_of_the_formula(folders: dict[str, Path], kind: str, dense: str) -> None:
    formula = ClipTower(clip_weights(folders[kind]), heads=2, quick=True)
    cells = load(folders[kind], dense=dense).encode_image(pixels(32)).dense
    for index, crop in enumerate(pixels(32)):
        by_hand = formula.dense(crop, dense).T.reshape(24, 4, 4)
        torch.testing.assert_close(cells[index].double(), by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dense", ["maskclip", "naclip"])
def test_positions_are_resized_as_the_authors_of_the_variant_do(folders: dict[str, Path], dense: str) -> None:
    weights = clip_weights(folders["clip"])
    own = weights["positional_embedding"]
    grid = own[1:].reshape(4, 4, -1).permute(2, 0, 1)[None]
    how: dict[str, Any] = {"size": 6} if dense == "maskclip" else {"scale_factor": 6.1 / 4}
    larger = torch.nn.functional.interpolate(grid, mode="bicubic", **how)[0].flatten(1).T
    weights["positional_embedding"] = torch.cat([own[:1], larger])
    crop = pixels(48)[:1]
    by_hand = ClipTower(weights, heads=2, quick=True).dense(crop[0], dense).T.reshape(24, 6, 6)
    ours = load(folders["clip"], dense=dense, crop_size=48).encode_image(crop).dense[0]
    torch.testing.assert_close(ours.double(), by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_a_siglip_cell_is_what_its_head_makes_of_it_alone(folders: dict[str, Path], kind: str) -> None:
    library = transformers.AutoModel.from_pretrained(folders[kind]).eval().vision_model
    inputs = library_inputs(kind, pixels(32))
    with torch.no_grad():
        given = {"spatial_shapes": inputs["spatial_shapes"]} if kind == "siglip2" else {}
        x = library.embeddings(inputs["pixel_values"], **given)
        for layer in library.encoder.layers[:-1]:
            x = layer(x, attention_mask=None)
        last = library.encoder.layers[-1]
        x = x + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(x)))
        x = library.post_layernorm(x + last.mlp(last.layer_norm2(x)))
        cells = torch.stack([library.head(x[:, cell : cell + 1]) for cell in range(16)], dim=-1)
    by_hand = (cells / cells.norm(dim=1, keepdim=True)).reshape(2, 32, 4, 4)
    ours = load(folders[kind]).encode_image(pixels(32)).dense
    torch.testing.assert_close(ours, by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_other_crop_sizes_work(folders: dict[str, Path], kind: str) -> None:
    encoder = load(folders[kind], crop_size=48)
    assert encoder.encode_image(pixels(48)).dense.shape[2:] == (6, 6)
    assert encoder.spec.endswith("?crop_size=48")
    with pytest.raises(
        ValueError, match="crop_size is 45: it must be a multiple of the model's stride, 8 px"
    ):
        load(folders[kind], crop_size=45)
    half = load(folders[kind], precision="fp16")
    assert half.spec.endswith("?precision=fp16")
    assert hf(half.spec.removeprefix("hf:")).precision == "fp16"


def test_preprocessing_travels_with_the_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    transform = load(folders["clip"]).transform
    assert (list(transform.mean), list(transform.std), transform.interpolation) == (
        tiny.MEAN,
        tiny.STD,
        "bicubic",
    )
    copied(folders["clip"], tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_mean": tiny.MEAN, "resample": 3}))
    with pytest.raises(WeightsError, match=r"image_std None.*does not guess"):
        load(tmp_path)
    path.unlink()
    with pytest.raises(AssetUnavailableError, match=r"has no preprocessor_config\.json"):
        load(tmp_path)


def test_weights_that_do_not_fit_their_configuration_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    copied(folders["clip"], tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["visual_projection.weight"]
    state["text_projection.weight"] = torch.zeros(24, 40)
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        WeightsError, match=r"1 missing \(visual_projection.*1 of another shape \(.*text_proj"
    ):
        load(tmp_path)


@pytest.mark.parametrize("kept", [0, 6, 1000, -1])
def test_weights_cut_short_are_refused(folders: dict[str, Path], tmp_path: Path, kept: int) -> None:
    copied(folders["clip"], tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:kept])
    with pytest.raises(WeightsError, match=r"model\.safetensors cannot be read"):
        load(tmp_path)


def test_models_of_another_family_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    copied(folders["clip"], tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        ValueError, match=r"no image-text family .* 'bert'.* clip, metaclip_2, siglip, siglip2, tipsv2"
    ):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["aimv2_vision_model", "aimv2"])
def test_a_model_without_a_text_side_is_named_as_the_backbone_that_it_is(
    folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    copied(folders["aimv2"], tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "hidden_size": 32}))
    backbone = "timm:aimv2_" if kind == "aimv2" else f"hf:local-dir:{tmp_path}'"
    with pytest.raises(SpecError, match=f"{kind}.* no text side.* as a backbone, backbone='{backbone}"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["siglip", "siglip2", "clip"])
def test_texts_of_siglip_are_in_lower_case_as_in_training(folders: dict[str, Path], kind: str) -> None:
    lower, upper = load(folders[kind]).encode_text(["a photo of a cat", "A Photo of a CAT"])
    assert torch.equal(lower, upper) is (kind != "clip")


def test_a_version_of_transformers_without_the_model_is_named(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES, "clip", FAMILIES["clip"]._replace(model="LaterModel"))
    with pytest.raises(MissingPackageError, match=r"transformers [\d.]+ has no LaterModel: pip install"):
        load(folders["clip"])


def copied(source: Path, target: Path) -> None:
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
