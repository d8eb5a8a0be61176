"""The segmenter, with small random models where the numbers are checked, and with the real ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from PIL import Image

from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.certainty import CertaintyCurve, HeadCertainty
from fmbseg.images import ImageError
from fmbseg.mask_means import mask_means
from fmbseg.masks import MaskSet
from fmbseg.models.backbones.efficientnet_lite import efficientnet_lite2
from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.hubness import hubness_of
from fmbseg.models.image_text.conse import conse
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.segment_settings import (
    Background,
    KnowledgePreservation,
    MaskNaming,
    MaskSnap,
    Pamr,
    RegionNaming,
    SecondLook,
    SegmentSettings,
    WindowSettings,
)
from fmbseg.segmentation.cutouts import Cutouts
from fmbseg.segmentation.regions import region_points
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.images import ImageInput
    from fmbseg.models.contracts import ImageTextEncoder

WORDS = ["cat", "cup", "person"]


class SeeingImageText(TinyImageText):
    """One that sees images, too: random directions of colour."""

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        weight = torch.randn(self.dim, 3, 1, 1, generator=torch.Generator().manual_seed(6))
        dense = F.normalize(F.conv2d(F.avg_pool2d(crops, self.stride), weight), dim=1)
        return ImageTextFeatures(F.normalize(dense.mean(dim=(2, 3)), dim=1), dense)


SMALL = WindowSettings(short_side=64, window=64, step=32)


def head(in_dim: int, out_dim: int) -> AlignmentHead:
    torch.manual_seed(3)
    return AlignmentHead(in_dim, out_dim)


@pytest.fixture
def encoder() -> AlignedEncoder:
    return AlignedEncoder(TinyBackbone(), head(24, 16), SeeingImageText())


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
        # Batches of another size may differ in a number's last bit.
        np.testing.assert_allclose(result.scores, alone.scores, atol=1e-6)
        assert (result.labels == alone.labels).mean() > 0.999
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


def test_bad_input_is_told(encoder: AlignedEncoder, tmp_path: Path) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    with pytest.raises(ImageError, match=r"absent\.jpg does not exist"):
        segmenter.segment(tmp_path / "absent.jpg", WORDS)
    with pytest.raises(ValueError, match="the vocabulary is empty"):
        segmenter.segment(np.zeros((9, 9, 3), np.uint8), [])
    with pytest.raises(ImageError, match="or images a list, not int"):
        segmenter.segment(3, WORDS)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="batch_size is 0"):
        OpenVocabSegmenter(encoder, batch_size=0)


def test_a_folder_and_a_stream(encoder: AlignedEncoder, tmp_path: Path) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    for name in ("coffee.png", "chelsea.png"):
        Image.fromarray(photograph(name)[::6, ::6]).save(tmp_path / name)
    folder = segmenter.segment(tmp_path, WORDS)
    assert [result.labels.shape for result in folder] == [(50, 76), (67, 100)]  # sorted by path
    asked: list[str] = []

    def stream() -> Iterator[Path]:
        for name in ("coffee.png", "chelsea.png", "coffee.png", "absent.png"):
            asked.append(name)
            yield tmp_path / name

    results = OpenVocabSegmenter(encoder, windows=SMALL, batch_size=1).segment(stream(), WORDS)
    assert asked == []
    first = next(results)
    assert asked == ["coffee.png"]  # read as results are taken
    assert first.labels.shape == (67, 100)
    assert next(results).labels.shape == (50, 76)
    next(results)
    with pytest.raises(ImageError, match=r"absent\.png does not exist"):
        next(results)


def test_files_share_batches_and_one_that_cannot_be_read_leaves_the_others(
    encoder: AlignedEncoder, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        tall = photograph("chelsea.png" if number % 3 else "coffee.png")[::6, ::6]
        Image.fromarray(np.roll(tall, number, axis=1)).save(path)
    paths[3].write_bytes(b"no image")
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL, batch_size=4)
    found = list(segmenter.segment_files(paths, WORDS))
    assert [path for path, _ in found] == paths
    for path, result in found:
        if isinstance(result, ImageError):
            assert path == paths[3]
            assert "3.png is not an image" in str(result)
        else:
            alone = segmenter.segment(path, WORDS)
            assert np.array_equal(result.labels, alone.labels)
            np.testing.assert_allclose(result.scores, alone.scores, rtol=0, atol=1e-5)
    assert sum(isinstance(result, ImageError) for _, result in found) == 1
    with pytest.raises(ImageError, match=r"3\.png is not an image"):
        segmenter.segment(paths, WORDS)


def test_windows_of_several_images_share_batches_in_order(encoder: AlignedEncoder) -> None:
    random = np.random.default_rng(0)
    sizes = [(64, 64), (64, 200), (40, 40), (128, 64), (64, 64)]
    images = [random.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]

    class Counting(TinyBackbone):
        batches: ClassVar[list[int]] = []

        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            self.batches.append(len(pixels))
            return super().encode(pixels)

    counting = AlignedEncoder(Counting(), encoder.head, TinyImageText())
    together = OpenVocabSegmenter(counting, windows=SMALL, batch_size=3).segment(images, WORDS)
    assert max(Counting.batches) == 3
    assert len(Counting.batches) < sum(Counting.batches)
    for image, result in zip(images, together, strict=True):
        expected = by_hand(encoder, image, WORDS)
        np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-5)


def test_the_whole_image_at_once(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    whole = WindowSettings(short_side=64, window=None)
    result = OpenVocabSegmenter(encoder, windows=whole).segment(cat, WORDS)
    pixels = encoder.transform(cat, (64, 96))[None]
    similarity = torch.einsum("kd,dhw->khw", encoder.encode_text(WORDS), encoder.encode(pixels)[0])
    expected = F.interpolate(similarity[None], cat.shape[:2], mode="bilinear")[0]
    np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-5)


def test_mirroring_averages_with_the_mirrored_image(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    mirror = SegmentSettings(windows=SMALL, mirror=True)
    result = OpenVocabSegmenter(encoder, settings=mirror).segment(cat, WORDS)
    flipped = by_hand(encoder, np.ascontiguousarray(cat[:, ::-1]), WORDS).flip(-1)
    expected = (by_hand(encoder, cat, WORDS) + flipped) / 2
    np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-3)
    back = OpenVocabSegmenter(encoder, settings=mirror).segment(np.ascontiguousarray(cat[:, ::-1]), WORDS)
    np.testing.assert_allclose(back.scores[:, ::-1], result.scores, atol=2e-3)


def test_scales_are_averaged_on_the_grid_of_the_finest(
    encoder: AlignedEncoder, cat: NDArray[np.uint8]
) -> None:
    settings = SegmentSettings(windows=WindowSettings(short_side=64, window=None), scales=(0.5, 1.0))
    result = OpenVocabSegmenter(encoder, settings=settings).segment(cat, WORDS)
    texts = encoder.encode_text(WORDS)
    maps = []
    for size in ((64, 96), (32, 48)):
        pixels = encoder.transform(cat, size)[None]
        similarity = torch.einsum("kd,dhw->khw", texts, encoder.encode(pixels)[0])
        maps.append(F.interpolate(similarity[None], (8, 12), mode="bilinear")[0])
    expected = F.interpolate(torch.stack(maps).mean(dim=0)[None], cat.shape[:2], mode="bilinear")[0]
    np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-5)


def by_crops(image_text: ImageTextEncoder, image: NDArray[np.uint8]) -> torch.Tensor:
    """The dense map of 48 x 72 pixels: crops of 32 every 16 pixels, the last one at the edge, averaged."""
    pixels = image_text.transform(image, (48, 72))
    total, count = torch.zeros(image_text.dim, 6, 9), torch.zeros(6, 9)
    for top in (0, 16):
        for left in (0, 16, 32, 40):
            crop = pixels[None, :, top : top + 32, left : left + 32]
            cells = slice(top // 8, top // 8 + 4), slice(left // 8, left // 8 + 4)
            total[(slice(None), *cells)] += image_text.encode_image(crop).dense[0]
            count[cells] += 1
    return total / count


@pytest.mark.parametrize(("hubness", "slope"), [(0.0, None), (0.5, None), (0.5, 5.0)])
def test_what_the_image_text_model_sees_is_mixed_in(
    encoder: AlignedEncoder, cat: NDArray[np.uint8], hubness: float, slope: float | None
) -> None:
    texts = encoder.encode_text(WORDS)
    encoder.prototypes = Prototypes(Vocabulary(tuple(WORDS)), texts)
    windows = WindowSettings(short_side=64, window=None)
    preserve = KnowledgePreservation(weight=0.4, center=0.1, slope=slope, short_side=48)
    settings = SegmentSettings(windows=windows, hubness=hubness, preserve=preserve)
    result = OpenVocabSegmenter(encoder, settings=settings).segment(cat, WORDS)

    hubs = hubness * hubness_of(texts, texts)[:, None, None]
    pixels = encoder.transform(cat, (64, 96))[None]
    first = torch.einsum("kd,dhw->khw", texts, encoder.encode(pixels)[0]) - hubs
    seen = F.interpolate(by_crops(encoder.text_encoder, cat)[None], (8, 12), mode="bilinear")[0]
    second = torch.einsum("kd,dhw->khw", texts, seen) - hubs
    assert second.std() > 1e-2
    if slope is not None:
        second = torch.sigmoid((second - 0.1) * slope)
    mixed = F.interpolate((0.6 * first + 0.4 * second)[None], cat.shape[:2], mode="bilinear")[0]
    np.testing.assert_allclose(result.scores, mixed.max(dim=0).values.numpy(), atol=2e-5)
    assert (torch.from_numpy(result.labels) == mixed.argmax(dim=0)).float().mean() > 0.999


def test_all_of_the_image_text_model_and_nothing_of_the_head(
    encoder: AlignedEncoder, cat: NDArray[np.uint8]
) -> None:
    only = SegmentSettings(windows=SMALL, preserve=KnowledgePreservation(1.0), refine=Pamr(2, (1, 2)))
    torch.manual_seed(5)
    other = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), encoder.text_encoder)
    first, second = (
        OpenVocabSegmenter(one, settings=only).segment(cat, WORDS).labels for one in (encoder, other)
    )
    np.testing.assert_array_equal(first, second)


def test_an_encoder_without_an_image_text_model_has_nothing_to_mix_in(
    encoder: AlignedEncoder, cat: NDArray[np.uint8]
) -> None:
    class Bare:
        transform, stride, device = encoder.transform, encoder.stride, encoder.device
        encode, encode_text, describe = encoder.encode, encoder.encode_text, encoder.describe
        hubness, prototypes, certainty = 0.0, None, None

    settings = SegmentSettings(windows=SMALL, preserve=KnowledgePreservation())
    with pytest.raises(ValueError, match="Bare has no image-text model"):
        OpenVocabSegmenter(Bare(), settings=settings).segment(cat, WORDS)


def test_common_words_that_are_near_no_class_compete_as_background(
    encoder: AlignedEncoder, cat: NDArray[np.uint8]
) -> None:
    small = cat[::4, ::4]
    corner = OpenVocabSegmenter(encoder, windows=SMALL).text_map(small)[:, 0, 0]

    class Near(SeeingImageText):
        """For which a banner is nearly a cat, and a corner looks as it does."""

        def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
            vectors = super().encode_text([prompt.replace("banner", "cat") for prompt in prompts])
            seen = torch.tensor(["corner" in prompt for prompt in prompts])
            return torch.where(seen[:, None], F.normalize(corner, dim=0), vectors)

    near = AlignedEncoder(encoder.backbone, encoder.head, Near())
    segmenter = OpenVocabSegmenter(near, windows=SMALL)
    common = replace(segmenter.settings, background=Background("common"))
    result = segmenter.segment(small, ["cat", "corner"], settings=common)
    assert result.names == ("background", "cat", "corner")
    assert result.similarities is not None
    asked = result.similarities.words
    assert "banner" not in asked
    assert f"{len(asked) - 2} common words mean background" == result.background
    by_hand = Vocabulary(asked, background=frozenset(range(2, len(asked))))
    assert np.array_equal(result.labels, segmenter.segment(small, by_hand).labels)
    assert result.labels[0, 0] == 2
    assert result.areas["background"] > 0


def test_without_the_text_encoder_the_words_of_the_training_have_no_background(
    encoder: AlignedEncoder, cat: NDArray[np.uint8]
) -> None:
    class Gone(SeeingImageText):
        def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
            raise AssetUnavailableError("the text encoder is not here")

    words = Vocabulary.of(["cat"])
    known = Prototypes(words, torch.eye(1, 16))
    alone = AlignedEncoder(encoder.backbone, encoder.head, Gone(), prototypes=known)
    segmenter = OpenVocabSegmenter(
        alone, settings=SegmentSettings(windows=SMALL, background=Background("common"))
    )
    with pytest.warns(UserWarning, match="no common word competes as background: the text encoder is not"):
        assert segmenter.segment(cat, words).areas["background"] == 0


def test_background_by_words_and_by_threshold(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    plain = segmenter.segment(cat, WORDS)
    assert plain.background == "none"
    marked = Vocabulary(tuple(WORDS), background=frozenset({1, 2}))
    by_words = segmenter.segment(cat, marked)
    assert by_words.names == ("background", "cat")
    assert by_words.background == "2 words mean background"
    assert np.array_equal(by_words.labels == 1, plain.labels == 0)

    threshold = float(np.median(plain.scores))
    settings = replace(segmenter.settings, background=Background("similarity", threshold))
    found = segmenter.segment(cat, WORDS, settings=settings)
    assert found.background == f"similarity below {threshold:g}"
    assert np.array_equal(found.labels, np.where(plain.scores < np.float32(threshold), 0, plain.labels + 1))

    highest = float(plain.scores.max())  # exactly the score of a pixel
    for at_threshold, left in ((False, int((plain.scores == plain.scores.max()).sum())), (True, 0)):
        rule = Background("similarity", highest, at_threshold=at_threshold)
        result = segmenter.segment(cat, WORDS, settings=replace(segmenter.settings, background=rule))
        assert int((result.labels != 0).sum()) == left


def test_confidence_is_the_softmax_and_its_threshold(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    settings = SegmentSettings(windows=SMALL, temperature=0.2, confidence=True)
    result = OpenVocabSegmenter(encoder, settings=settings).segment(cat, WORDS)
    share = (by_hand(encoder, cat, WORDS) / 0.2).softmax(dim=0).amax(dim=0).numpy()
    assert result.confidence is not None
    np.testing.assert_allclose(result.confidence, share, atol=1e-3)
    limit = float(np.median(share))
    settings = replace(settings, background=Background("softmax", limit), confidence=False)
    below = OpenVocabSegmenter(encoder, settings=settings).segment(cat, WORDS)
    assert below.confidence is None
    sure = abs(share - limit) > 1e-3
    assert np.array_equal((below.labels == 0)[sure], (share < limit)[sure])


def test_hubness_is_taken_off_every_similarity(cat: NDArray[np.uint8]) -> None:
    """Measured against twelve words of a training, of whose similarities the ten largest count."""
    known = Vocabulary.of([f"word {index}" for index in range(12)])
    text = TinyImageText()
    with torch.no_grad():
        vectors = F.normalize(text.encode_text([f"a photo of a word {index}." for index in range(12)]), dim=1)
    encoder = AlignedEncoder(TinyBackbone(), head(24, 16), text, prototypes=Prototypes(known, vectors))
    settings = SegmentSettings(windows=SMALL, hubness=0.7)
    result = OpenVocabSegmenter(encoder, settings=settings).segment(cat, WORDS)
    near = (encoder.encode_text(WORDS) @ vectors.T).sort(dim=1).values[:, 2:].mean(dim=1)
    expected = by_hand(encoder, cat, WORDS) - 0.7 * near[:, None, None]
    np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-5)
    chosen = torch.from_numpy(result.labels).long()
    np.testing.assert_allclose(expected.gather(0, chosen[None])[0].numpy(), result.scores, atol=2e-5)
    assert (result.labels != by_hand(encoder, cat, WORDS).argmax(dim=0).numpy()).any()


def test_a_head_says_which_hubness_suits_it(cat: NDArray[np.uint8]) -> None:
    known, text = Vocabulary.of(["tabby cat", "espresso", "sofa"]), TinyImageText()
    with torch.no_grad():
        vectors = F.normalize(text.encode_text(["cat", "coffee", "sofa"]), dim=1)
    encoder = AlignedEncoder(
        TinyBackbone(), head(24, 16), text, prototypes=Prototypes(known, vectors), hubness=0.7
    )
    own, given, none = (
        OpenVocabSegmenter(encoder, settings=SegmentSettings(windows=SMALL, hubness=hubness))
        for hubness in (None, 0.7, 0.0)
    )
    scores = [each.segment(cat, WORDS).scores for each in (own, given, none)]
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    assert own.settings.describe() == given.settings.describe() != none.settings.describe()
    one_call = none.segment(cat, WORDS, settings=SegmentSettings(windows=SMALL))
    assert np.array_equal(one_call.scores, scores[0])


def test_hubness_without_words_of_a_training_is_refused(
    encoder: AlignedEncoder, cat: NDArray[np.uint8]
) -> None:
    segmenter = OpenVocabSegmenter(encoder, settings=SegmentSettings(hubness=0.5))
    with pytest.raises(ValueError, match=r"hubness 0.5 is measured .* AlignedEncoder has none: set it to 0"):
        segmenter.segment(cat, WORDS)
    with pytest.raises(ValueError, match="hubness is -1: it must be 0 or more"):
        SegmentSettings(hubness=-1)


def test_thresholds_by_class_and_the_margin(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    plain = segmenter.segment(cat, WORDS)
    limit = float(np.median(plain.scores[plain.labels == 0]))
    settings = replace(segmenter.settings, class_thresholds={"cat": limit})
    found = segmenter.segment(cat, WORDS, settings=settings)
    weak = (plain.labels == 0) & (plain.scores < np.float32(limit))
    assert np.array_equal(found.labels, np.where(weak, -1, plain.labels))
    with pytest.raises(KeyError, match="there is no class 'cats'"):
        segmenter.segment(cat, WORDS, settings=replace(settings, class_thresholds={"cats": 0.1}))

    settings = replace(segmenter.settings, min_margin=0.05, top=2)
    close = segmenter.segment(cat, WORDS, settings=settings)
    assert close.top is not None
    gap = close.top.scores[0] - close.top.scores[1]
    assert 0 < (gap < 0.05).mean() < 1
    assert np.array_equal(close.labels, np.where(gap < 0.05, -1, plain.labels))
    assert np.array_equal(close.top.labels[0], plain.labels)
    one_word = segmenter.segment(cat, ["cat"], settings=settings)
    assert (one_word.labels == 0).all()  # there is no second word to be close to


def test_heat_maps_are_the_similarities(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    result = OpenVocabSegmenter(encoder, windows=SMALL).segment(cat, WORDS)
    expected = by_hand(encoder, cat, WORDS)
    for index, word in enumerate(WORDS):
        np.testing.assert_allclose(result.similarity(word), expected[index].numpy(), atol=1e-3)
        assert result.heatmap(word).size == (cat.shape[1], cat.shape[0])
    with pytest.raises(KeyError, match="there is no word 'dog'"):
        result.heatmap("dog")


class Halves:
    spec, promptable, license = "halves", False, "CC0-1.0"

    def begin(self, image: NDArray[np.uint8]) -> Halves:
        self.size = image.shape[:2]
        return self

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        raise NotImplementedError(f"not promptable, got {len(points)} sets of points")

    def everything(self) -> MaskSet:
        left = np.zeros(self.size, dtype=bool)
        left[:, : self.size[1] // 2] = True
        return MaskSet.from_masks(np.stack([left, ~left]))


def test_pamr_and_masks_refine(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    small = np.ascontiguousarray(cat[::3, ::3])
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    plain = segmenter.segment(small, WORDS)
    refined = segmenter.segment(small, WORDS, settings=replace(segmenter.settings, refine=Pamr(3)))
    assert set(np.unique(refined.labels)) <= set(np.unique(plain.labels))
    assert 0 < (refined.labels != plain.labels).mean() < 0.5

    snap = replace(segmenter.settings, refine=MaskSnap(Halves(), min_share=0.0))
    snapped = segmenter.segment(small, WORDS, settings=snap)
    middle = small.shape[1] // 2
    for half in (slice(None, middle), slice(middle, None)):
        assert (snapped.labels[:, half] == np.bincount(plain.labels[:, half].ravel()).argmax()).all()
    by_spec = replace(segmenter.settings, refine=MaskSnap("superpixels"))
    assert segmenter.segment(small, WORDS, settings=by_spec).labels.shape == small.shape[:2]


def test_masks_are_named_by_what_they_cover(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    small = np.ascontiguousarray(cat[::3, ::3])
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    named = replace(segmenter.settings, refine=MaskNaming(Halves()))
    result = segmenter.segment(small, WORDS, settings=named)
    masks = Halves().begin(small).everything()
    with torch.inference_mode():
        vectors = mask_means(masks, segmenter.text_map(small))
        similarity = vectors @ encoder.encode_text(Vocabulary.of(WORDS)).T
    best = similarity.max(dim=1)
    for index in range(2):
        assert (result.labels[masks.decode(index)] == best.indices[index].item()).all()
        np.testing.assert_allclose(result.scores[masks.decode(index)], best.values[index].item(), rtol=1e-5)

    unsure = replace(named, background=Background("similarity", float(best.values.mean())))
    halves = segmenter.segment(small, WORDS, settings=unsure)
    for index in range(2):  # the half that is less similar falls below the threshold
        expected = 0 if best.values[index] < best.values.mean() else 1 + best.indices[index].item()
        assert (halves.labels[masks.decode(index)] == expected).all()

    by_spec = replace(segmenter.settings, refine=MaskNaming("superpixels", {"min_area_fraction": 0.05}))
    assert segmenter.segment(small, WORDS, settings=by_spec).labels.shape == small.shape[:2]


class Squares(Halves):
    """Around a point a square, cut at the image's edges."""

    promptable = True

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        assert boxes is None
        masks = np.zeros((len(points), *self.size), dtype=bool)
        for mask, ((x, y),) in zip(masks, points, strict=True):
            mask[max(0, int(y) - 9) : int(y) + 9, max(0, int(x) - 9) : int(x) + 9] = True
        return MaskSet.from_masks(masks)


def test_masks_at_the_regions_points_are_named(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    small = np.ascontiguousarray(cat[::3, ::3])
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    plain = segmenter.segment(small, WORDS)
    regions = RegionNaming(Squares(), points=2, min_area=0.02)
    result = segmenter.segment(small, WORDS, settings=replace(segmenter.settings, refine=regions))
    masks = Squares().begin(small).prompt(region_points(plain.labels, points=2, min_area=0.02))
    assert len(masks) > 2
    expected = plain.labels.copy()
    with torch.inference_mode():
        vectors = mask_means(masks, segmenter.text_map(small))
        best = (vectors @ encoder.encode_text(Vocabulary.of(WORDS)).T).argmax(dim=1)
    for index in np.argsort(-masks.areas, kind="stable"):
        expected[masks.decode(index)] = best[index].item()
    assert np.array_equal(result.labels, expected)
    assert (expected != plain.labels).any()
    none = replace(segmenter.settings, refine=RegionNaming(Squares(), min_area=1.0))
    assert np.array_equal(segmenter.segment(small, WORDS, settings=none).labels, plain.labels)
    with pytest.raises(ValueError, match="'halves' takes no prompts, so it cannot be asked"):
        segmenter.segment(small, WORDS, settings=replace(none, refine=RegionNaming(Halves())))


@pytest.mark.parametrize("words", [["cat"], ["x" * 2000, "cat"], [f"word {n}" for n in range(100_000)]])
def test_one_word_long_words_and_very_many(encoder: AlignedEncoder, words: list[str]) -> None:
    class ManyTexts(TinyImageText):
        def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
            generator = torch.Generator().manual_seed(len(prompts))
            return F.normalize(torch.randn(len(prompts), self.dim, generator=generator), dim=1)

    image = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    many = AlignedEncoder(encoder.backbone, encoder.head, ManyTexts())
    result = OpenVocabSegmenter(many, windows=SMALL).segment(image, words)
    assert result.names == tuple(words)
    expected = by_hand(many, image, words)
    np.testing.assert_allclose(result.scores, expected.max(dim=0).values.numpy(), atol=2e-5)


@pytest.mark.parametrize("words", [[""], ["cat", " "], ["cat", "dog", "cat"]])
def test_words_that_are_none(encoder: AlignedEncoder, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"is empty|named twice: 'cat'"):
        OpenVocabSegmenter(encoder).segment(np.zeros((9, 9, 3), np.uint8), words)


def test_images_of_every_kind(encoder: AlignedEncoder, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    grey = random.integers(0, 255, (30, 40), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 256).save(tmp_path / "sixteen.png")
    alpha = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    segmenter = OpenVocabSegmenter(encoder, windows=SMALL)
    results = segmenter.segment(sorted(tmp_path.iterdir()), WORDS)
    for result in results:
        assert np.array_equal(result.labels, results[0].labels)
    for size in ((1, 1), (1, 5000)):
        line = random.integers(0, 255, (*size, 3), dtype=np.uint8)
        assert segmenter.segment(line, WORDS).labels.shape == size


def test_several_vocabularies_are_kept(encoder: AlignedEncoder) -> None:
    text = TinyImageText()
    segmenter = OpenVocabSegmenter(AlignedEncoder(encoder.backbone, encoder.head, text), windows=SMALL)
    image = np.zeros((16, 16, 3), np.uint8)
    for words in (["a", "b"], ["c"], ["a", "b"], ["c"]):
        segmenter.segment(image, words)
    assert text.asked == 2
    for number in range(8):
        segmenter.segment(image, [f"word {number}"])
    segmenter.segment(image, ["c"])
    assert text.asked == 11  # the oldest had to go


def test_the_description_tells_heads_apart(encoder: AlignedEncoder) -> None:
    told = OpenVocabSegmenter(encoder).describe()
    assert (told["backbone"], told["text_encoder"]) == ("tiny-test", "tiny-test")
    assert (
        told == OpenVocabSegmenter(AlignedEncoder(TinyBackbone(), head(24, 16), TinyImageText())).describe()
    )
    other = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText())
    assert OpenVocabSegmenter(other).describe()["head_sha256"] != told["head_sha256"]


def test_what_is_not_certain_has_no_class(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    words = ["cat", "dog", "sofa"]
    scores = OpenVocabSegmenter(encoder, windows=SMALL).segment(cat, words).scores
    low, high = np.quantile(scores, (0.1, 0.9)).tolist()
    known = HeadCertainty(CertaintyCurve((low, high), (0.0, 1.0)), default=0.25)
    sure = AlignedEncoder(encoder.backbone, encoder.head, encoder.text_encoder, certainty=known)
    segmenter = OpenVocabSegmenter(sure, windows=SMALL)
    everything = segmenter.segment(cat, words, settings=SegmentSettings(SMALL, certainty=0.0))
    assert everything.unknown == 0
    assert everything.certainty is not None
    np.testing.assert_allclose(
        everything.certainty, ((scores - low) / (high - low)).clip(0, 1), rtol=1e-4, atol=1e-5
    )
    for settings, least in ((None, 0.25), (SegmentSettings(SMALL, certainty=0.75), 0.75)):
        found = segmenter.segment(cat, words, settings=settings)
        blank = everything.certainty < least
        assert 0 < blank.mean() < 1
        np.testing.assert_array_equal(found.labels, np.where(blank, -1, everything.labels))
        assert found.unknown == blank.sum()


def test_one_word_beside_common_words_is_not_asked_for_its_certainty(
    encoder: AlignedEncoder, cat: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbseg.segmentation.classes.common_background_words", lambda: ("sofa", "dog"))
    never = HeadCertainty(CertaintyCurve((0.0,), (0.1,)))
    unsure = AlignedEncoder(encoder.backbone, encoder.head, encoder.text_encoder, certainty=never)
    common = SegmentSettings(SMALL, background=Background("common"))
    segmenter = OpenVocabSegmenter(unsure, settings=common)
    found = segmenter.segment(cat, ["cat"])
    assert 0 < (found.labels == 1).sum() < found.labels.size
    for settings in (None, common):
        assert segmenter.segment(cat, ["cat"], settings=settings).unknown == 0
    asked = segmenter.segment(cat, ["cat"], settings=replace(common, certainty=0.5))
    assert asked.unknown == (found.labels == 1).sum()
    assert segmenter.segment(cat, ["cat", "horse"]).unknown > 0  # of two words as ever


@pytest.mark.parametrize("words", [["cat"], ["cat", "horse"]])
def test_beside_common_words_doubtful_masks_are_seen_alone(
    encoder: AlignedEncoder, cat: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("fmbseg.segmentation.classes.common_background_words", lambda: ("sofa", "dog"))
    never = HeadCertainty(CertaintyCurve((0.0,), (0.1,)), default=0.4)
    unsure = AlignedEncoder(encoder.backbone, encoder.head, encoder.text_encoder, certainty=never)
    look = SecondLook(sure=9, margin=0, near=9, largest=1)  # at every mask
    settings = SegmentSettings(
        SMALL,
        background=Background("common"),
        refine=Pamr(),
        refine_common=MaskNaming(Halves(), second_look=look),
    )
    segmenter = OpenVocabSegmenter(unsure, settings=settings)
    found = segmenter.segment(cat, words, settings=replace(settings, certainty=0.0))
    masks = Halves().begin(cat).everything()
    with torch.inference_mode():
        texts = torch.cat([encoder.encode_text(Vocabulary.of([word])) for word in (*words, "sofa", "dog")])
        of_map = mask_means(masks, segmenter.text_map(cat)) @ texts.T
        cutouts = Cutouts(encoder.text_encoder, device=encoder.device, batch_size=1)
        alone = cutouts.of(cat, masks) @ texts.T
    count = len(words)
    for index in range(2):
        both = (of_map[index] + alone[index]) / 2
        expected = 1 + int(both[:count].argmax()) if both[:count].max() > both[count:].max() else 0
        inside = masks.decode(index)
        assert (found.labels[inside] == expected).all()
        best = both[:count] if expected else both[count:]
        np.testing.assert_allclose(found.scores[inside], float(best.max()), rtol=1e-4)
    by_default = segmenter.segment(cat, words)
    assert by_default.unknown == (0 if len(words) == 1 else (found.labels > 0).sum())  # one word is not asked
    less = AlignedEncoder(
        encoder.backbone, encoder.head, encoder.text_encoder, certainty=replace(never, beside_common=0.05)
    )
    assert OpenVocabSegmenter(less, settings=settings).segment(cat, words).unknown == 0  # all are surer
    marked = Vocabulary((*words, "sofa"), background=frozenset({count}))
    plain = replace(settings, refine_common=None)
    for vocabulary in (marked, Vocabulary((*words, "background"))):  # no common words compete
        expected_map = segmenter.segment(cat, vocabulary, settings=plain).labels
        assert np.array_equal(segmenter.segment(cat, vocabulary).labels, expected_map)


def test_background_needs_no_certainty(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    never = HeadCertainty(CertaintyCurve((0.0,), (0.1,)))
    unsure = AlignedEncoder(encoder.backbone, encoder.head, encoder.text_encoder, certainty=never)
    words = Vocabulary(("cat", "dog", "sofa"), background=frozenset({1, 2}))
    before = OpenVocabSegmenter(encoder, windows=SMALL).segment(cat, words).labels
    found = OpenVocabSegmenter(unsure, windows=SMALL).segment(cat, words).labels
    assert 0 < (before == 0).mean() < 1
    np.testing.assert_array_equal(found, np.where(before == 0, 0, -1))


def test_a_certainty_that_nothing_tells_is_refused(encoder: AlignedEncoder, cat: NDArray[np.uint8]) -> None:
    known = HeadCertainty(CertaintyCurve((0.0,), (0.1,)))
    unmixed = AlignedEncoder(encoder.backbone, encoder.head, SeeingImageText(), certainty=known)
    half = SegmentSettings(preserve=KnowledgePreservation(0.5))
    mixed = OpenVocabSegmenter(unmixed, settings=half)
    assert mixed.settings.certainty == 0  # by default nothing is left blank that no curve speaks of
    for segmenter, settings in (
        (OpenVocabSegmenter(encoder), SegmentSettings(certainty=0.5)),
        (mixed, replace(half, certainty=0.5)),
    ):
        with pytest.raises(ValueError, match=r"certainty 0\.5 needs a curve that is kept with the head"):
            segmenter.segment(cat, ["cat", "dog"], settings=settings)
