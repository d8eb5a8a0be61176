"""The aligned encoder in the image-text model's place."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from fmbseg import PseudoLabeler
from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.image_text import AlignedImageText
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.image_text.conse import Conse, conse
from fmbseg.models.transform import PixelTransform
from tests.aligned.tiny import HALF, TinyBackbone, TinyImageText
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet


@pytest.fixture(scope="module")
def text() -> Conse:
    return conse()


@pytest.fixture(scope="module")
def offline() -> AlignedEncoder:
    return AlignedEncoder.from_pretrained("offline")


def test_words_and_crops_are_the_models_and_the_map_is_the_heads(
    text: Conse, offline: AlignedEncoder
) -> None:
    joined = AlignedImageText(text, offline)
    assert (joined.spec, joined.dim, joined.crop_size, joined.stride) == ("conse", 384, 224, 16)
    crops = joined.transform(photograph("chelsea.png"), size=(224, 224))[None]
    pooled, dense = joined.encode_image(crops)
    assert torch.equal(pooled, text.encode_image(crops).pooled)
    assert torch.equal(dense, offline.encode(crops))
    assert dense.shape == (1, 384, 14, 14)
    assert torch.equal(joined.encode_text(["a cat"]), text.encode_text(["a cat"]))


class Constant(TinyImageText):
    """Says the same of every crop, which it takes with another normalisation than the backbone."""

    transform = PixelTransform(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        return ImageTextFeatures(torch.ones(1, 16) / 4, torch.ones(1, 16, 4, 4) / 4)


def test_the_heads_backbone_gets_pixels_as_it_takes_them() -> None:
    words = Constant()
    aligned = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16, heads=3), words)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    crops, pixels = (one(image, size=(32, 32))[None] for one in (words.transform, HALF))
    dense = AlignedImageText(words, aligned).encode_image(crops).dense
    torch.testing.assert_close(dense, aligned.encode(pixels), rtol=1e-4, atol=1e-5)


def test_a_head_of_another_text_space_is_refused(text: Conse) -> None:
    words = TinyImageText()
    other = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16, heads=3), words)
    with pytest.raises(AlignedEncoderError, match=r"text space of 'tiny-test', but words are encoded by"):
        AlignedImageText(text, other)


def test_cells_that_do_not_tile_the_crops_are_refused() -> None:
    words = TinyImageText()
    words.crop_size = 36
    aligned = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16, heads=3), words)
    with pytest.raises(AlignedEncoderError, match=r"crops of 36 px are not a whole number of cells of 8 px"):
        AlignedImageText(words, aligned)


def test_labels_of_a_second_round_say_which_head_named_them(
    text: Conse, offline: AlignedEncoder, tmp_path: Path
) -> None:
    Image.fromarray(photograph("chelsea.png")).save(tmp_path / "cat.png")
    sets: list[LabelSet] = []
    for number, aligned in enumerate((None, "offline")):
        labeler = PseudoLabeler(
            image_text=text,
            mask_generator="superpixels",
            aligned=aligned,
            settings=LabelingSettings(short_side=224),
        )
        with pytest.warns(UserWarning, match="takes no point prompts"):
            labels = labeler.label(
                [tmp_path / "cat.png"], ["cat", "sofa"], tmp_path / f"{number}", progress=False
            )
        sets.append(labels)
    first, second = (one.manifest["models"] for one in sets)
    assert "aligned" not in first
    assert second["aligned"] == offline.describe()
    assert second["image_text"] == "conse"
    # The same words are in the photograph, but its places are named by another map.
    before, after = (next(iter(one)) for one in sets)
    assert before.detected == after.detected
    assert not np.array_equal(before.similarities, after.similarities)
