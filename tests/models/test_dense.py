"""An image-text encoder's dense map as a backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.labeling.description import describe
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.contracts import Backbone
from fmbseg.models.dense import DenseBackbone
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from fmbseg.models.image_text.conse import Conse


def test_is_a_backbone_of_unit_vectors(conse_encoder: Conse) -> None:
    dense = DenseBackbone(conse_encoder, stride=16)
    assert isinstance(dense, Backbone)
    grid = dense.encode(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert grid.shape == (2, 384, 4, 6)
    torch.testing.assert_close(grid.norm(dim=1), torch.ones(2, 4, 6))


def test_at_the_size_of_stage_1_it_is_the_map_of_stage_1(conse_encoder: Conse) -> None:
    image = photograph("coffee.png")
    expected = describe(image, conse_encoder, LabelingSettings()).dense
    rows, columns = expected.shape[1:]
    pixels = conse_encoder.transform(image, size=(rows * 32, columns * 32))[None]
    grid = DenseBackbone(conse_encoder, stride=32).encode(pixels)[0]
    torch.testing.assert_close(grid, F.normalize(expected, dim=0), rtol=1e-3, atol=1e-4)


def test_another_size_of_the_map_is_another_model(conse_encoder: Conse) -> None:
    specs = {DenseBackbone(conse_encoder, 16, short_side).spec for short_side in (224, 448)}
    assert specs == {"dense:conse@224", "dense:conse@448"}
