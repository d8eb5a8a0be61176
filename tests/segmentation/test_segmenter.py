"""The segmenter, with small random models where the numbers are checked, and with the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from PIL import Image

from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.deployment import WindowSettings
from fmbseg.images import ImageError
from fmbseg.models.backbones.efficientnet_lite2 import efficientnet_lite2
from fmbseg.models.image_text.conse import conse
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.images import ImageInput

WORDS = ["cat", "cup", "person"]
SMALL = WindowSettings(short_side=64, window=64, step=32)


def head(in_dim: int, out_dim: int) -> AlignmentHead:
    torch.manual_seed(3)
    return AlignmentHead(in_dim, out_dim)


@pytest.fixture
def encoder() -> AlignedEncoder:
    return AlignedEncoder(TinyBackbone(), head(24, 16), TinyImageText())


@pytest.fixture(scope="module")
def cat() -> NDArray[np.uint8]:
    return photograph("chelsea.png")


def by_hand(encoder: AlignedEncoder, image: NDArray[np.uint8], words: list[str]) -> torch.Tensor:
    """Similarities (K, H, W): windows of 64 every 32 pixels of the image at short side 64, averaged."""
    height, width = image.shape[:2]
    scale = 64 / min(height, width)
    rows, columns = round(height * scale / 8), round(width * scale / 8)
    pixels = encoder.transform(image, (8 * rows, 8 * columns))
    total, count = torch.zeros(len(words), rows, columns), torch.zeros(rows, columns)
    texts = encoder.encode_text(words)
    for top in sorted({*range(0, rows - 8, 4), rows - 8}):
        for left in sorted({*range(0, columns - 8, 4), columns - 8}):
            cut = pixels[:, 8 * top : 8 * top + 64, 8 * left : 8 * left + 64]
            total[:, top : top + 8, left : left + 8] += torch.einsum(
                "kd,dhw->khw", texts, encoder.encode(cut[None])[0]
            )
            count[top : top + 8, left : left + 8] += 1
    return F.interpolate((total / count)[None], (height, width), mode="bilinear")[0]


def test_agrees_with_the_same_in_plain_steps(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    result = OpenVocabSegmenter(encoder, windows=SMALL).segment(cat, WORDS)
    expected = by_hand(encoder, cat, WORDS)
    assert result.names == tuple(WORDS)
    assert result.labels.dtype == np.int32
    np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-5)
    chosen = torch.from_numpy(result.labels).long()
    np.testing.assert_allclose(expected.gather(0, chosen[None])[0].numpy(), result.scores, atol=2e-5)
    assert len(np.unique(result.labels)) > 1


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (41, 57), (64, 64), (300, 20)])
def test_the_result_has_the_size_of_the_image(encoder: AlignedEncoder, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    result = OpenVocabSegmenter(encoder, windows=SMALL).segment(image, WORDS)
    assert result.labels.shape == result.scores.shape == size
    assert np.isfinite(result.scores).all()
    assert (result.labels >= 0).all()
    assert result.image is not None
    assert np.array_equal(result.image, image)


def test_a_list_keeps_its_order(encoder: AlignedEncoder, tmp_path: Path) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    images = [photograph(name)[::4, ::4] for name in ("coffee.png", "chelsea.png", "astronaut.png")]
    path = tmp_path / "coffee.png"
    Image.fromarray(images[0]).save(path)
    mixed: list[ImageInput] = [path, *images[1:]]
    together = segmenter.segment(mixed, WORDS)
    for result, image in zip(together, images, strict=True):
        alone = segmenter.segment(image, WORDS)
        assert np.array_equal(result.labels, alone.labels)
        assert np.array_equal(result.scores, alone.scores)
    assert segmenter.segment([], WORDS) == []


def test_other_words_are_encoded_once_each(cat: NDArray[np.uint8]) -> None:
    text = TinyImageText()
    segmenter = OpenVocabSegmenter(AlignedEncoder(TinyBackbone(), head(24, 16), text), windows=SMALL)
    for _ in range(3):
        first = segmenter.segment(cat, WORDS)
    assert text.asked == 1
    other = segmenter.segment(cat, ["cup", "cat", "person"])
    assert text.asked == 2
    order = np.array([1, 0, 2])  # the same words in another order are the same map
    assert np.array_equal(order[other.labels], first.labels)


def test_what_holds_an_encoder_will_do(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    class Fitted:
        def __init__(self) -> None:
            self.encoder = encoder

    one = OpenVocabSegmenter(Fitted(), windows=SMALL).segment(cat, WORDS)
    assert np.array_equal(one.labels, OpenVocabSegmenter(encoder, windows=SMALL).segment(cat, WORDS).labels)


def test_saving_and_loading_gives_the_same_map(
    encoder: AlignedEncoder, cat: NDArray[np.uint8], tmp_path: Path
) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    segmenter.save_pretrained(tmp_path)
    loaded = OpenVocabSegmenter.from_pretrained(tmp_path, windows=SMALL)
    before, after = segmenter.segment(cat, WORDS), loaded.segment(cat, WORDS)
    assert np.array_equal(before.labels, after.labels)
    assert np.array_equal(before.scores, after.scores)


@pytest.mark.long
def test_the_real_models_on_a_photograph(cat: NDArray[np.uint8], tmp_path: Path) -> None:
    text = conse()
    encoder = AlignedEncoder(efficientnet_lite2(), head(472, text.dim), text)
    segmenter = OpenVocabSegmenter(encoder)
    result = segmenter.segment(cat, WORDS)
    assert result.labels.shape == cat.shape[:2]
    segmenter.save_pretrained(tmp_path)
    loaded = OpenVocabSegmenter.from_pretrained(tmp_path, text_encoder=text)
    assert np.array_equal(loaded.segment(cat, WORDS).labels, result.labels)
    line = np.random.default_rng(0).integers(0, 255, (1, 5000, 3), dtype=np.uint8)
    assert segmenter.segment(line, WORDS).labels.shape == (1, 5000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short_side": 0}, "short_side is 0"),
        ({"window": -1}, "window is -1"),
        ({"step": 0}, "step is 0"),
        ({"step": 500}, "step is 500: windows of 448 pixels would leave gaps"),
    ],
)
def test_windows_that_make_no_sense(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowSettings(**settings)


def test_bad_input_is_told(encoder: AlignedEncoder, tmp_path: Path) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    with pytest.raises(ImageError, match=r"absent\.jpg does not exist"):
        segmenter.segment(tmp_path / "absent.jpg", WORDS)
    with pytest.raises(ValueError, match="the vocabulary is empty"):
        segmenter.segment(np.zeros((9, 9, 3), np.uint8), [])
