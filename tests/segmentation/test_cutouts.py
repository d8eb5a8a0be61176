"""Cut-outs by hand, and what a real model makes of them beside encoding each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.masks import MaskSet
from fmbseg.models.registries import IMAGE_TEXT
from fmbseg.segmentation.cutouts import Cutouts, cut_out
from tests.models.photographs import photograph


def test_a_cut_out_has_a_tenth_around_it_and_is_grey_beside_the_mask() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    inside = np.zeros((60, 80), dtype=bool)
    inside[20:40, 30:60] = True
    inside[20:30, 30:45] = False
    found = cut_out(image, inside)
    assert found.shape == (24, 36, 3)  # two rows and three columns more at each side
    assert np.array_equal(found[2:22, 18:33], image[20:40, 45:60])
    assert (found[:2] == 127).all()
    assert (found[2:12, 3:18] == 127).all()


@pytest.mark.parametrize("corner", [(0, 0), (59, 79)])
def test_one_pixel_and_the_edges_of_the_image(corner: tuple[int, int]) -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    inside = np.zeros((60, 80), dtype=bool)
    inside[corner] = True
    assert cut_out(image, inside).tolist() == [[[200, 200, 200]]]
    assert np.array_equal(cut_out(image, np.ones((60, 80), dtype=bool)), image)


def test_several_at_once_are_seen_as_each_alone() -> None:
    cat = photograph("chelsea.png")
    encoder = IMAGE_TEXT.create("conse")
    masks = np.zeros((3, *cat.shape[:2]), dtype=bool)
    masks[0, 40:200, 60:300], masks[1, :100], masks[2, 100:180, 100:180] = True, True, True
    seen = Cutouts(encoder, device=torch.device("cpu"), batch_size=2).of(cat, MaskSet.from_masks(masks))
    for mask, vector in zip(masks, seen, strict=True):
        pixels = encoder.transform(cut_out(cat, mask), (encoder.crop_size, encoder.crop_size))
        with torch.inference_mode():
            alone = F.normalize(encoder.encode_image(pixels[None]).pooled, dim=1)[0]
        torch.testing.assert_close(vector, alone, rtol=1e-4, atol=1e-5)
