"""SAM's frame: the image with its longest side brought to 1,024 pixels, zero-padded right and bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 1024
# 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 for pixels of 0 to 255.
_TRANSFORM = PixelTransform((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), interpolation="bilinear")


@dataclass(frozen=True)
class SamFrame:
    """How one image stands in the frame.

    Args:
        size: height and width of the image in its own pixels.

    Example:
        >>> SamFrame((480, 640)).resized
        (768, 1024)
    """

    size: tuple[int, int]

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width of the image in the frame; rounded half up, as SAM does."""
        scale = SIDE / max(self.size)
        height, width = (max(1, int(side * scale + 0.5)) for side in self.size)
        return height, width

    def pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Turn the image (H, W, 3) into the normalised pixels of the frame, (1, 3, 1024, 1024)."""
        height, width = self.resized
        pixels = _TRANSFORM(image, size=(height, width))
        return F.pad(pixels, (0, SIDE - width, 0, SIDE - height))[None]

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move points (..., 2), (x, y) in pixels of the image, into the frame."""
        height, width = self.resized
        return points * np.array([width / self.size[1], height / self.size[0]], np.float32)

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Bring logits of the frame (N, h, w) to the image, (N, H, W): twice bilinear, as SAM does."""
        height, width = self.resized
        frame = F.interpolate(logits[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
        whole = F.interpolate(frame[..., :height, :width], self.size, mode="bilinear", align_corners=False)
        return whole[:, 0]
