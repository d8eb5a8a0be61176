"""Cut-outs by hand, and what a real model makes of them beside encoding each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.masks import MaskSet
from fmbseg.models.registries import IMAGE_TEXT
from fmbseg.segmentation.cutouts import SURROUNDINGS, Cutouts, blur, cut_outs
from tests.models.photographs import photograph


def test_cut_outs_have_a_tenth_around_them_and_differ_only_beside_the_mask() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    inside = np.zeros((60, 80), dtype=bool)
    inside[20:40, 30:60] = True
    inside[20:30, 30:45] = False
    soft = blur(image)
    assert soft.size == (80, 60)
    found = list(cut_outs(image, inside, soft, 224))
    assert [one.shape for one in found] == [(36, 36, 3)] * len(SURROUNDINGS)  # 3 of 30 more at each side
    in_crop = inside[12:48, 27:63]
    means = image[inside].mean(axis=0).astype(np.uint8)
    expected = np.full((36, 36, 3), 127), np.asarray(soft)[12:48, 27:63], np.broadcast_to(means, (36, 36, 3))
    for one, beside in zip(found, expected, strict=True):
        assert np.array_equal(one[in_crop], image[12:48, 27:63][in_crop])
        assert np.array_equal(one[~in_crop], beside[~in_crop])


def test_beyond_the_photograph_all_are_grey() -> None:
    image = np.full((20, 100, 3), 200, np.uint8)
    inside = np.zeros((20, 100), dtype=bool)
    inside[:, 10:60] = True  # 50 wide, so the square reaches 20 above and below
    for one in cut_outs(image, inside, blur(image), 224):
        assert one.shape == (60, 60, 3)
        assert (one[:20] == 127).all()
        assert (one[40:] == 127).all()
        assert (one[20:40, 5:55] == 200).all()


@pytest.mark.parametrize("corner", [(0, 0), (59, 79), (30, 40)])
def test_one_pixel_is_cut_out(corner: tuple[int, int]) -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    inside = np.zeros((60, 80), dtype=bool)
    inside[corner] = True
    for one in cut_outs(image, inside, blur(image), 224):
        assert (one == 200).any()
        assert max(one.shape[:2]) <= 2


def test_what_is_blurred_is_small_and_even_and_lies_where_the_image_does() -> None:
    image = np.zeros((2_000, 1_000, 3), np.uint8)
    image[:1_000] = 255  # white above black
    soft = blur(image)
    assert max(soft.size) == 320
    rows = np.asarray(soft)[:, 80, 0].astype(int)
    assert (np.diff(rows) <= 0).all()
    assert rows[0] == 255
    assert rows[-1] == 0
    assert 120 <= rows[159:161].mean() <= 135
    inside = np.zeros((2_000, 1_000), dtype=bool)
    inside[900:1_100, 400:600] = True
    blurred = list(cut_outs(image, inside, soft, 224))[1]
    assert (blurred[5, :, 0] > 127).all()
    assert (blurred[-5, :, 0] < 127).all()


def test_of_a_large_photograph_they_are_made_small_first() -> None:
    random = np.random.default_rng(1)
    image, inside = random.integers(0, 255, (60, 80, 3), dtype=np.uint8), np.zeros((60, 80), dtype=bool)
    inside[20:40, 30:60] = True
    inside[25, 40:50] = False
    block = np.ones((4, 4), np.uint8)
    large = np.stack([np.kron(image[..., band], block) for band in range(3)], axis=-1)
    found = list(cut_outs(large, np.kron(inside, block).astype(bool), blur(image), 18))
    for one, expected in zip(found, cut_outs(image, inside, blur(image), 18), strict=True):
        assert np.array_equal(one, expected)
    beyond = np.zeros((240, 320), dtype=bool)
    beyond[:, 100:110] = True  # the square is wider than it, and 24 pixels reach beyond each end
    for one in cut_outs(large, beyond, blur(image), 36):
        assert one.shape == (72, 72, 3)
        assert (one[:6] == 127).all()
        assert not (one[8:-8] == 127).all(axis=(1, 2)).any()


def test_several_at_once_are_seen_as_each_alone() -> None:
    cat = photograph("chelsea.png")
    encoder = IMAGE_TEXT.create("conse")
    masks = np.zeros((3, *cat.shape[:2]), dtype=bool)
    masks[0, 40:200, 60:300], masks[1, :100], masks[2, 100:180, 100:180] = True, True, True
    seen = Cutouts(encoder, device=torch.device("cpu"), batch_size=2).of(cat, MaskSet.from_masks(masks))
    assert seen.shape == (3, encoder.dim)
    for mask, vector in zip(masks, seen, strict=True):
        crops = cut_outs(cat, mask, blur(cat), encoder.crop_size)
        pixels = [encoder.transform(crop, (encoder.crop_size, encoder.crop_size)) for crop in crops]
        with torch.inference_mode():
            alone = F.normalize(encoder.encode_image(torch.stack(pixels)).pooled, dim=1)
        torch.testing.assert_close(vector, alone.mean(dim=0), rtol=1e-4, atol=1e-5)
