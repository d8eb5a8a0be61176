import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fmbseg.models.contracts import ImageTextEncoder
from fmbseg.models.efficientnet_lite import load_classifier
from fmbseg.models.image_text.conse import Conse, MiniLM
from fmbseg.models.registries import IMAGE_TEXT
from fmbseg.vocabularies import imagenet_class_names
from tests.models.image_text.contract import TrainedImageTextContract
from tests.models.photographs import photograph


class TestConse(TrainedImageTextContract):
    @pytest.fixture
    def encoder(self, conse_encoder: Conse) -> ImageTextEncoder:
        return conse_encoder


def test_there_are_1000_names_and_two_stand_twice() -> None:
    names = imagenet_class_names()
    assert (len(names), names[0], names[281], names[999]) == (1000, "tench", "tabby", "toilet tissue")
    assert sorted({name for name in names if names.count(name) > 1}) == ["crane", "maillot"]


def test_the_names_are_embedded_once_for_all_processes(
    conse_encoder: Conse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counts = []

    def encode(sentences: list[str]) -> torch.Tensor:
        counts.append(len(sentences))
        return torch.stack([torch.arange(384.0) % (1 + len(text)) for text in sentences])

    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path))
    monkeypatch.setattr(conse_encoder._sentences, "encode", encode)
    found = []
    for _process in range(2):
        monkeypatch.setattr("fmbseg.models.image_text.conse._NAMES", {})
        found.append(Conse._names.func(conse_encoder))  # type: ignore[attr-defined]
    assert counts == [1, 1000, 1]
    for one, other in zip(*found, strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_is_the_printed_formula(conse_encoder: Conse, temperature: float) -> None:
    """ConSE in float64 NumPy, class by class, from the classifier's own forward pass."""
    encoder = Conse(temperature)
    pixels = encoder.transform(photograph("coffee.png"), size=(64, 96))[None]
    with torch.no_grad():
        logits = load_classifier()(pixels)[0].double().numpy() / temperature
    texts = MiniLM().encode([f"a photo of a {name}." for name in imagenet_class_names()]).double().numpy()
    mean = texts.mean(axis=0)
    embedding = np.zeros(384)
    total = math.fsum(math.exp(value) for value in logits)
    for value, text in zip(logits, texts, strict=True):
        direction = (text - mean) / np.linalg.norm(text - mean)
        embedding += math.exp(value) / total * direction
    embedding /= np.linalg.norm(embedding)
    np.testing.assert_allclose(encoder.encode_image(pixels).pooled[0].numpy(), embedding, atol=2e-5)
    prompt = encoder.encode_text(["a photo of a tench."])[0].numpy()
    np.testing.assert_allclose(prompt, (texts[0] - mean) / np.linalg.norm(texts[0] - mean), atol=2e-5)


def test_a_crop_of_one_cell_has_the_same_pooled_and_dense_vector(conse_encoder: Conse) -> None:
    pixels = conse_encoder.transform(photograph("chelsea.png"), size=(32, 32))[None]
    pooled, dense = conse_encoder.encode_image(pixels)
    torch.testing.assert_close(dense[0, :, 0, 0], pooled[0])


def test_takes_crops_of_any_sides_that_are_multiples_of_32(conse_encoder: Conse) -> None:
    assert conse_encoder.encode_image(torch.zeros(2, 3, 160, 96)).dense.shape == (2, 384, 5, 3)


def test_another_temperature_stands_in_the_spec(conse_encoder: Conse) -> None:
    assert conse_encoder.spec == "conse"
    warm = Conse(1.5)
    assert warm.spec == "conse:1.5"
    again = IMAGE_TEXT.create(warm.spec)
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(again.encode_image(pixels).pooled, warm.encode_image(pixels).pooled)
    assert not torch.equal(again.encode_image(pixels).pooled, conse_encoder.encode_image(pixels).pooled)
    with pytest.raises(ValueError, match="temperature is 'warm': it must be a positive number"):
        IMAGE_TEXT.create("conse:warm")


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature is"):
        Conse(temperature)
