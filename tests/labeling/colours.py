"""An image-text model whose text space is colour, so that labels can be worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class ColourEncoder:
    """A cell is the mean colour of its 8 x 8 pixels, a crop that of its cells, a text the colour it names.

    A text that names none is white.
    """

    spec = "colour-test"
    dim = 3
    crop_size = 32
    stride = 8
    license = "CC0-1.0"
    transform = PixelTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear")

    def to(self, device: torch.device | str) -> ColourEncoder:
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        named = [
            next((rgb for name, rgb in RGB.items() if name in prompt), RGB["white"]) for prompt in prompts
        ]
        return F.normalize(torch.tensor(named) / 127.5 - 1, dim=1)

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        cells = F.avg_pool2d(crops, self.stride)
        return ImageTextFeatures(
            pooled=F.normalize(cells.mean(dim=(2, 3)), dim=1), dense=F.normalize(cells, dim=1)
        )


def painted(size: tuple[int, int], **areas: tuple[slice, slice]) -> NDArray[np.uint8]:
    """A white picture with rectangles of colours."""
    image = np.full((*size, 3), 255, dtype=np.uint8)
    for name, area in areas.items():
        image[area] = RGB[name]
    return image
