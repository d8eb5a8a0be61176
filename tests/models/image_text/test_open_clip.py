"""open_clip's models: equal to open_clip's own, and to CLIP and its dense variants written from formulas."""

import json
import threading
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from fmbseg.models.image_text import open_clip as under_test
from fmbseg.models.image_text.dense_variants import DENSE_VARIANTS
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.registries import IMAGE_TEXT
from tests.models.image_text import tiny
from tests.models.image_text.contract import PROMPTS, ImageTextContract
from tests.models.image_text.formulas import ClipTower

NAMES = {"vit": tiny.VIT, "resnet": tiny.RESNET, "siglip": tiny.SIGLIP}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("open_clip")
    made = {name: tiny.open_clip_folder(home / name, config) for name, config in NAMES.items()}
    made["quick"] = tiny.open_clip_folder(home / "quick", tiny.VIT, quick_gelu=True)
    return made


def load(folder: Path, **options: Any) -> TowerEncoder:
    return under_test.open_clip(f"local-dir:{folder}", **options)


def theirs(folder: Path, **options: Any) -> Any:
    return open_clip.create_model(f"local-dir:{folder}", **options).eval()


def pixels(side: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def visual_weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_file(folder / "open_clip_model.safetensors")
    return {name[7:]: tensor for name, tensor in state.items() if name.startswith("visual.")}


class TestVit(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["vit"])


class TestNaclip(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["vit"], dense="naclip", crop_size=48)


class TestResNet(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["resnet"])


class TestSiglip(ImageTextContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TowerEncoder:
        return load(folders["siglip"])


@pytest.mark.parametrize("name", ["vit", "quick", "resnet", "siglip"])
def test_pooled_and_text_vectors_are_those_of_open_clip(folders: dict[str, Path], name: str) -> None:
    ours, library = load(folders[name]), theirs(folders[name])
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folders[name]}")
    crops = pixels(ours.crop_size)
    with torch.no_grad():
        image = library.encode_image(crops, normalize=True)
        text = library.encode_text(tokenizer(PROMPTS), normalize=True)
    torch.testing.assert_close(ours.encode_image(crops).pooled, image, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.encode_text(PROMPTS), text, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["vit", "quick"])
@pytest.mark.parametrize("dense", DENSE_VARIANTS)
def test_dense_vectors_are_those_of_the_formula(folders: dict[str, Path], name: str, dense: str) -> None:
    formula = ClipTower(visual_weights(folders[name]), heads=2, quick=name == "quick")
    crops = pixels(32)
    pooled, cells = load(folders[name], dense=dense).encode_image(crops)
    for index, crop in enumerate(crops):
        torch.testing.assert_close(pooled[index].double(), formula.pooled(crop), rtol=0, atol=1e-5)
        by_hand = formula.dense(crop, dense).T.reshape(24, 4, 4)
        torch.testing.assert_close(cells[index].double(), by_hand, rtol=0, atol=1e-5)


def test_the_dense_vectors_of_a_resnet_are_its_pools_value_path(folders: dict[str, Path]) -> None:
    library, crops = theirs(folders["resnet"]).visual, pixels(128)
    weights = {name: tensor.double() for name, tensor in library.state_dict().items()}
    with torch.no_grad():
        features = library.layer4(
            library.layer3(library.layer2(library.layer1(library.stem(crops))))
        ).double()
    values = (
        features.permute(0, 2, 3, 1) @ weights["attnpool.v_proj.weight"].T + weights["attnpool.v_proj.bias"]
    )
    cells = values @ weights["attnpool.c_proj.weight"].T + weights["attnpool.c_proj.bias"]
    by_hand = (cells / cells.norm(dim=-1, keepdim=True)).permute(0, 3, 1, 2)
    for dense in ("maskclip", "value"):
        ours = load(folders["resnet"], dense=dense).encode_image(crops).dense
        torch.testing.assert_close(ours.double(), by_hand, rtol=0, atol=1e-5)


def test_a_siglip_cell_is_what_its_head_makes_of_it_alone(folders: dict[str, Path]) -> None:
    """Value path of the last block, then the attention pool of one token."""
    library, crops = theirs(folders["siglip"]).visual.trunk, pixels(32)
    with torch.no_grad():
        x = library.patch_embed(crops) + library.pos_embed
        x = library.blocks[0](x)
        last = library.blocks[1]
        values = last.attn.qkv(last.norm1(x))[..., 64:]
        x = x + last.attn.proj(values)
        x = library.norm(x + last.mlp(last.norm2(x)))
        cells = torch.stack([library.attn_pool(x[:, cell : cell + 1]) for cell in range(16)], dim=-1)
    by_hand = (cells / cells.norm(dim=1, keepdim=True)).reshape(2, 32, 4, 4)
    ours = load(folders["siglip"]).encode_image(crops).dense
    torch.testing.assert_close(ours, by_hand, rtol=0, atol=1e-5)


def test_every_block_runs_once(folders: dict[str, Path]) -> None:
    encoder, calls = load(folders["vit"]), []
    for index, block in enumerate(encoder.model.visual.transformer.resblocks):
        block.register_forward_hook(lambda *_, index=index: calls.append(index))
    encoder.encode_image(pixels(32))
    assert calls == [0, 1, 2]


def test_the_last_block_computes_what_leaves_it_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    """The class token where it is pooled; every token where their mean is."""
    vision = {**tiny.VIT["vision_cfg"], "pool_type": "avg"}
    mean = tiny.open_clip_folder(tmp_path / "mean", {**tiny.VIT, "vision_cfg": vision})
    for folder, expected in ((folders["vit"], 1), (mean, 17)):
        encoder, seen = load(folder), list[int]()
        block = encoder.model.visual.transformer.resblocks[-1]
        block.mlp.register_forward_hook(lambda _, args, __, seen=seen: seen.append(args[0].shape[1]))
        pooled = encoder.encode_image(pixels(32)).pooled
        assert seen == [expected, 17]  # then once for the cells
        with torch.no_grad():
            image = theirs(folder).encode_image(pixels(32), normalize=True)
        torch.testing.assert_close(pooled, image, rtol=0, atol=1e-5)


def test_threads_that_share_a_model_do_not_meet(folders: dict[str, Path]) -> None:
    encoder = load(folders["vit"])
    crops = pixels(32, 8)
    alone = [encoder.encode_image(crop[None]).dense for crop in crops]
    found: list[torch.Tensor | None] = [None] * 8

    def work(start: int) -> None:
        for _ in range(5):
            for index in range(start, 8, 2):
                found[index] = encoder.encode_image(crops[index][None]).dense

    threads = [threading.Thread(target=work, args=(start,)) for start in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, found, strict=True):
        assert other is not None
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [2, 6])
@pytest.mark.parametrize("dense", DENSE_VARIANTS)
def test_position_embeddings_are_resized_for_other_crops(
    folders: dict[str, Path], dense: str, side: int
) -> None:
    """MaskCLIP's code resizes to the side itself, the others' by (side + 0.1) / n."""
    weights = visual_weights(folders["vit"])
    own = weights["positional_embedding"]
    grid = own[1:].reshape(4, 4, 32).permute(2, 0, 1)[None]
    how: dict[str, Any] = {"size": side} if dense == "maskclip" else {"scale_factor": (side + 0.1) / 4}
    other = torch.nn.functional.interpolate(grid, mode="bicubic", **how)
    weights["positional_embedding"] = torch.cat([own[:1], other[0].permute(1, 2, 0).reshape(side**2, 32)])
    crop = pixels(side * 8, 1)
    encoder = load(folders["vit"], crop_size=side * 8, dense=dense)
    assert encoder.crop_size == side * 8
    by_hand = ClipTower(weights, heads=2).dense(crop[0], dense).T.reshape(24, side, side)
    torch.testing.assert_close(encoder.encode_image(crop).dense[0].double(), by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "resnet", "siglip"])
def test_other_crop_sizes_work_and_others_than_that_are_refused(folders: dict[str, Path], name: str) -> None:
    encoder = load(folders[name], crop_size=96)
    assert encoder.encode_image(pixels(96)).dense.shape[2] == 96 // encoder.stride
    with pytest.raises(ValueError, match="takes crops of 96 x 96 px, got 64 x 64"):
        encoder.encode_image(pixels(64))


def test_options_stand_in_the_spec_and_come_back_from_it(folders: dict[str, Path]) -> None:
    encoder = load(folders["vit"], dense="sclip", crop_size=48)
    assert encoder.spec == f"open_clip:local-dir:{folders['vit']}?crop_size=48&dense=sclip"
    again = IMAGE_TEXT.create(encoder.spec)
    assert torch.equal(again.encode_image(pixels(48)).dense, encoder.encode_image(pixels(48)).dense)


def test_the_precision_of_accelerators_stands_in_the_spec(folders: dict[str, Path]) -> None:
    encoder = load(folders["vit"], precision="bf16")
    assert encoder.spec == f"open_clip:local-dir:{folders['vit']}?precision=bf16"
    again = IMAGE_TEXT.create(encoder.spec)
    assert isinstance(again, TowerEncoder)
    assert again.precision == "bf16"
    with pytest.raises(ValueError, match="precision is 'fp8': it must be one of auto, fp32, fp16, bf16"):
        IMAGE_TEXT.create(f"open_clip:local-dir:{folders['vit']}?precision=fp8")


def test_preprocessing_travels_with_the_weights(folders: dict[str, Path]) -> None:
    transform = load(folders["vit"]).transform
    assert (list(transform.mean), list(transform.std)) == (tiny.MEAN, tiny.STD)
    assert transform.interpolation == "bicubic"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dense": "maskclp"}, "did you mean 'maskclip'"),
        ({"crop_size": 50}, "crop_size is 50: it must be a multiple of the model's stride, 8 px"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
    ],
)
def test_wrong_options_are_refused(folders: dict[str, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(folders["vit"], **options)


def test_a_tower_without_a_last_block_refuses_variants_that_change_it(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="use dense='maskclip' or dense='value'"):
        load(folders["resnet"], dense="sclip")


def test_any_other_tower_gives_its_cells_through_its_head(tmp_path: Path) -> None:
    config = {
        **tiny.VIT,
        "vision_cfg": {
            "image_size": 64,
            "timm_model_name": "convnext_atto",
            "timm_pool": "",
            "timm_proj": "linear",
        },
    }
    folder = tiny.open_clip_folder(tmp_path / "convnext", config)
    with pytest.raises(ValueError, match=r"ConvNeXt has no transformer block .* use dense='cells'"):
        load(folder)
    encoder, crops = load(folder, dense="cells"), pixels(64)
    library = theirs(folder)
    with torch.no_grad():
        pooled = library.encode_image(crops, normalize=True)
        features = library.visual.trunk.forward_features(crops)
        cell = library.visual.head(library.visual.trunk.forward_head(features[:, :, 1:2, 0:1]))
    ours = encoder.encode_image(crops)
    torch.testing.assert_close(ours.pooled, pooled, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        ours.dense[:, :, 1, 0], cell / cell.norm(dim=1, keepdim=True), rtol=0, atol=1e-4
    )


def test_the_licence_is_the_cards(folders: dict[str, Path]) -> None:
    assert "unknown" in load(folders["vit"]).license
    (folders["vit"] / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    assert load(folders["vit"]).license == "mit"
    (folders["vit"] / "README.md").unlink()


def test_a_config_that_states_no_preprocessing_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["vit"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = json.loads((tmp_path / "open_clip_config.json").read_text())
    del content["preprocess_cfg"]["mean"]
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"states mean None, std .*does not guess; .* write them there"):
        load(tmp_path)
