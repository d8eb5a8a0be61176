"""TIPSv2 from its authors' files, and AIMv2: equal to what their papers say, computed apart."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from fmbseg.missing_package import MissingPackageError
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.transformers_models import hf
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.transform import PixelTransform
from tests.models.image_text import tiny
from tests.models.published_formulas import Aimv2, Tipsv2Vision, tipsv2_text

AS_THEY_ARE = PixelTransform((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tipsv2_folder(tmp_path_factory.mktemp("tipsv2"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TowerEncoder:
    return hf(f"local-dir:{folder}")


def part(folder: Path, name: str) -> dict[str, torch.Tensor]:
    state = load_file(folder / "model.safetensors")
    return {key.removeprefix(f"{name}."): one for key, one in state.items() if key.startswith(f"{name}.")}


def crop(side: int) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(2))


def test_what_the_authors_files_say_is_understood(encoder: TowerEncoder) -> None:
    assert (encoder.dim, encoder.crop_size, encoder.stride) == (48, 42, 14)
    assert encoder.transform == AS_THEY_ARE  # which no file of theirs states


@pytest.mark.parametrize("side", [42, 70, 28])
def test_vectors_of_images_and_cells_are_those_of_the_paper(
    folder: Path, encoder: TowerEncoder, side: int
) -> None:
    """At the model's own size, and with its position embeddings on a larger and a smaller grid."""
    ours = encoder if side == 42 else hf(f"local-dir:{folder}", crop_size=side)
    formula = Tipsv2Vision(part(folder, "vision_encoder"), heads=12)
    pooled, dense = ours.encode_image(crop(side))
    cells = side // 14
    by_hand = formula.dense(crop(side)[0]).T.reshape(48, cells, cells)
    torch.testing.assert_close(pooled[0].double(), formula.pooled(crop(side)[0]), rtol=0, atol=1e-4)
    torch.testing.assert_close(dense[0].double(), by_hand, rtol=0, atol=1e-4)


def test_vectors_of_texts_are_those_of_the_paper(folder: Path, encoder: TowerEncoder) -> None:
    """In lower case, cut to the ten tokens that the model takes, padding not seen."""
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    texts = ["a Photo of a CAT", "sofa", "a very long red double decker bus on a bridge of coffee"]
    ids = [pieces.encode(text.lower()) for text in texts]
    assert len(ids[2]) > 10
    weights = part(folder, "text_encoder")
    by_hand = torch.stack([tipsv2_text(weights, 4, one[:10]) for one in ids])
    torch.testing.assert_close(encoder.encode_text(texts).double(), by_hand, rtol=0, atol=1e-4)


def test_what_reads_the_tokenizer_is_asked_for_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingPackageError, match=r"tokenizer of .* needs sentencepiece: .*fmbseg\[sentenc"):
        hf(f"local-dir:{folder}")


@pytest.mark.parametrize("change", [{"vision_fn": "vit_huge"}, {"embed_dim": None}, {"text_mlp_dim": "72"}])
def test_a_configuration_that_cannot_be_meant_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(WeightsError, match=r"config\.json|configuration"):
        hf(f"local-dir:{tmp_path}")


def test_aimv2_is_the_computation_of_its_paper(tmp_path: Path) -> None:
    folder = tiny.transformers_folder(tmp_path / "aimv2", "aimv2")
    formula = Aimv2(load_file(folder / "model.safetensors"), heads=2)
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    encoder = hf(f"local-dir:{folder}")
    pooled, dense = encoder.encode_image(pixels)
    by_hand = formula.vectors(pixels[0], dense=True).T.reshape(24, 4, 4)
    torch.testing.assert_close(pooled[0].double(), formula.vectors(pixels[0], dense=False), rtol=0, atol=1e-4)
    torch.testing.assert_close(dense[0].double(), by_hand, rtol=0, atol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    longest = "a very long red double decker bus on a bridge"  # twelve tokens with its end: no padding
    for texts in (["a photo of a cat", longest], [longest]):
        by_hand = torch.stack([formula.text(tokenizer(one)["input_ids"]) for one in texts])
        torch.testing.assert_close(encoder.encode_text(texts).double(), by_hand, rtol=0, atol=1e-4)
