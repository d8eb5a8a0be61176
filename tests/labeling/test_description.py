"""The description of a photograph against encoding one crop after the other in a plain loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.labeling.description import Crops, cut_crops, describe, describe_all
from fmbseg.labeling.settings import LabelingSettings
from tests.labeling.colours import ColourEncoder, painted
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.models.contracts import ImageTextFeatures
    from fmbseg.models.image_text.conse import Conse


@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_the_stitched_map_equals_a_loop(conse_encoder: Conse, batch_size: int) -> None:
    image = photograph("chelsea.png")[:200, :300]
    settings = LabelingSettings(short_side=256, crop_overlap=0.5, batch_size=batch_size)
    found = describe(image, conse_encoder, settings)

    # 200 x 300 at short side 256: 256 x 384, which is 8 x 12 cells of 32; crops of 7, 4 apart.
    pixels = conse_encoder.transform(image, (256, 384))
    total, count, pooled = torch.zeros(384, 8, 12), torch.zeros(8, 12), []
    for top in (0, 1):
        for left in (0, 4, 5):
            crop = pixels[:, 32 * top : 32 * top + 224, 32 * left : 32 * left + 224]
            features = conse_encoder.encode_image(crop[None])
            pooled.append(features.pooled[0])
            total[:, top : top + 7, left : left + 7] += features.dense[0]
            count[top : top + 7, left : left + 7] += 1
    torch.testing.assert_close(found.pooled, torch.stack(pooled), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.dense, F.normalize(total / count, dim=0), rtol=1e-4, atol=1e-5)


def test_scales_are_averaged_on_the_finest_grid(conse_encoder: Conse) -> None:
    image = photograph("chelsea.png")[:200, :300]
    one, other = (describe(image, conse_encoder, LabelingSettings(short_side=side)) for side in (224, 336))
    both = describe(image, conse_encoder, LabelingSettings(short_side=224, scales=(1.0, 1.5)))
    torch.testing.assert_close(both.pooled, torch.cat([one.pooled, other.pooled]), rtol=1e-4, atol=1e-5)
    size = other.dense.shape[1:]
    fine = F.interpolate(one.dense[None], size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(both.dense, F.normalize(fine + other.dense, dim=0), rtol=1e-4, atol=1e-5)


def test_no_bit_depends_on_what_else_is_in_the_batch(conse_encoder: Conse) -> None:
    settings = LabelingSettings(short_side=256, batch_size=4)
    whole = photograph("chelsea.png")
    images = [whole[:200, :300], whole[:150, :150], whole[50:300, 100:300]]  # 6, 4 and 6 crops
    cut = [cut_crops(image, conse_encoder, settings) for image in images]
    together = list(describe_all([None, *cut, None], conse_encoder, 4))
    assert [one is None for one in together] == [True, False, False, False, True]
    for image, found in zip(images, together[1:-1], strict=True):
        alone = describe(image, conse_encoder, settings)
        assert found is not None
        assert torch.equal(found.pooled, alone.pooled)
        assert torch.equal(found.dense, alone.dense)


class CountingEncoder(ColourEncoder):
    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        self.batches.append(len(crops))
        return super().encode_image(crops)


def test_batches_span_photographs_and_few_photographs_are_in_hand() -> None:
    encoder, settings = CountingEncoder(), LabelingSettings(short_side=32, batch_size=8)
    taken = 0

    def photographs() -> Iterator[Crops]:
        nonlocal taken
        for _ in range(20):  # 3 crops each: 32 x 64 at windows of 32, 16 apart
            taken += 1
            yield cut_crops(painted((32, 64)), encoder, settings)

    for done, _ in enumerate(describe_all(photographs(), encoder, 8), start=1):
        assert taken - done <= 3
    assert encoder.batches == [8] * 8  # 60 crops, the last batch filled up


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (20, 20), (64, 33), (500, 3)])
def test_every_size_of_image_has_crops_and_unit_vectors(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    found = describe(image, ColourEncoder(), LabelingSettings(short_side=64))
    assert len(found.pooled) >= 1
    torch.testing.assert_close(found.pooled.norm(dim=1), torch.ones(len(found.pooled)))
    torch.testing.assert_close(found.dense.norm(dim=0), torch.ones(found.dense.shape[1:]))


def test_the_map_covers_the_photograph() -> None:
    image = painted((64, 96), red=(slice(0, 64), slice(0, 48)), blue=(slice(32, 64), slice(48, 96)))
    dense = describe(image, ColourEncoder(), LabelingSettings(short_side=64)).dense
    assert dense.shape == (3, 8, 12)
    red, blue, white = ColourEncoder().encode_text(["red", "blue", "white"])
    for corner, colour in (((0, 0), red), ((7, 0), red), ((0, 11), white), ((7, 11), blue)):
        torch.testing.assert_close(dense[(slice(None), *corner)], colour)
