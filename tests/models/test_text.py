from collections.abc import Sequence

import torch

from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.image_text.conse import Conse
from fmbseg.models.text import embed_vocabulary
from fmbseg.models.transform import PixelTransform
from fmbseg.vocabulary import Vocabulary


class Compass:
    """An encoder of two words, so that every mean can be worked out by hand."""

    spec, dim, crop_size, stride, license = "compass", 2, 32, 32, "none"
    transform = PixelTransform((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def to(self, device: torch.device | str) -> "Compass":
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "east" in prompt else [0.0, 1.0] for prompt in prompts])

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        raise NotImplementedError


def test_a_class_is_the_mean_of_its_words_at_unit_length() -> None:
    vocabulary = Vocabulary.of({"north": "up", "east": "right", "north east": "both", "a north": "both"})
    vectors = embed_vocabulary(Compass(), vocabulary)
    half = 0.5**0.5
    assert vocabulary.names == ("up", "right", "both")
    torch.testing.assert_close(vectors, torch.tensor([[0.0, 1.0], [1.0, 0.0], [half, half]]))


def test_templates_weigh_alike() -> None:
    vocabulary = Vocabulary(names=("north",), templates=("{}", "{} or east", "east of {}"))
    vector = embed_vocabulary(Compass(), vocabulary)[0]
    torch.testing.assert_close(vector, torch.tensor([2.0, 1.0]) / 5**0.5)


def test_one_word_and_one_template_is_the_encoders_own_vector(conse_encoder: Conse) -> None:
    vectors = embed_vocabulary(conse_encoder, Vocabulary.of(["sofa", "dog"]))
    own = conse_encoder.encode_text(["a photo of a sofa.", "a photo of a dog."])
    torch.testing.assert_close(vectors, own)
