"""The exporters' form of SAME padding against timm's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from fmbseg.models.backbones.efficientnet_lite import (
    EfficientNetLite2,
    efficientnet_lite2,
    efficientnet_lite2_classes,
    efficientnet_lite_classes,
)
from fmbseg.models.efficientnet_lite import HalvingConv

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 11), (13, 15), (1, 2)])
def test_the_same_numbers_as_timm(side: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = Conv2dSame(6, 6, side, stride=2, groups=3)
    pixels = torch.randn(2, 6, *size)
    torch.testing.assert_close(HalvingConv(conv)(pixels), conv(pixels))
    if size == (8, 8):
        torch.testing.assert_close(HalvingConv(conv, even=True)(pixels), conv(pixels))


@pytest.mark.parametrize("options", [{"stride": 1}, {"stride": 2, "dilation": 2}])
def test_other_convolutions_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not halve"):
        HalvingConv(nn.Conv2d(1, 1, 3, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [efficientnet_lite2, efficientnet_lite2_classes, efficientnet_lite_classes])
def test_the_backbones_twin_shares_its_weights_and_numbers(make: Callable[[], EfficientNetLite2]) -> None:
    backbone = make()
    twin = backbone.for_export()
    for size in ((64, 96), (80, 48)):  # an even and an odd count of cells
        pixels = torch.randn(1, 3, *size)
        torch.testing.assert_close(twin.encode(pixels), backbone.encode(pixels), rtol=0, atol=1e-5)
    own = {parameter.data_ptr() for parameter in backbone.network.parameters()}
    assert {parameter.data_ptr() for parameter in twin.network.parameters()} == own
