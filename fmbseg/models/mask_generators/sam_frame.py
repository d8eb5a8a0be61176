"""Where an image lies in the square frame that a SAM-like model takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.mask_generators.interpolation import Resize, resize
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 1024
# 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 for pixels of 0 to 255.
SAM_TRANSFORM = PixelTransform((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), interpolation="bilinear")


class Frame(Protocol):
    """Moves pixels and points of one image into the frame, and masks back."""

    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102 - height and width of the image in its own pixels

    @property
    def covered(self) -> tuple[float, float]: ...  # noqa: D102 - parts of the frame's height and width

    def pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Turn the image (H, W, 3) into the normalised pixels of the frame, (1, 3, side, side)."""
        ...

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move points (..., 2), (x, y) in pixels of the image, into the frame."""
        ...

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize logits of the frame (N, h, w) to the image, (N, H, W)."""
        ...

    def sample(self, maps: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read maps of the frame (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        ...


@dataclass(frozen=True)
class SamFrame:
    """SAM's frame: the longest side is scaled to the frame's, the rest zero-padded at the right and bottom.

    Args:
        size: height and width of the image in its own pixels.
        side: side of the frame in pixels.
        transform: normalises the pixels.

    Example:
        >>> SamFrame((480, 640)).resized
        (768, 1024)
    """

    size: tuple[int, int]
    side: int = SIDE
    transform: PixelTransform = SAM_TRANSFORM

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width of the image in the frame; rounded half up, as SAM does."""
        scale = self.side / max(self.size)
        height, width = (max(1, int(side * scale + 0.5)) for side in self.size)
        return height, width

    @property
    def covered(self) -> tuple[float, float]:
        """Parts of the frame's height and width that the image covers."""
        height, width = self.resized
        return height / self.side, width / self.side

    def pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Turn the image (H, W, 3) into the normalised pixels of the frame, (1, 3, side, side)."""
        height, width = self.resized
        pixels = self.transform(image, size=(height, width))
        return F.pad(pixels, (0, self.side - width, 0, self.side - height))[None]

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move points (..., 2), (x, y) in pixels of the image, into the frame."""
        return _scaled(points, self.size, self.resized)

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize logits of the frame (N, h, w) to the image, (N, H, W): bilinear twice, as SAM does."""
        cells = logits.shape[-1]
        stride = self.side // cells
        # Of the padding only what the image's last pixels are mixed from.
        rows, columns = (cells_read(cells, part) for part in self.covered)
        down, across = (
            (Resize(stride * known, resized), Resize(length, length))
            for known, resized, length in zip((rows, columns), self.resized, self.size, strict=True)
        )
        return resize(logits[:, :rows, :columns], down, across)

    def sample(self, maps: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read maps of the frame (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        return _sampled(maps, self.points(points), self.side)


@dataclass(frozen=True)
class SquashedFrame:
    """SAM 2's frame: both sides are scaled to the frame's, whatever their ratio.

    Args:
        size: height and width of the image in its own pixels.
        side: side of the frame in pixels.
        transform: normalises the pixels.

    Example:
        >>> SquashedFrame((480, 640)).points(np.array([[320, 240]], np.float32)).tolist()
        [[512.0, 512.0]]
    """

    size: tuple[int, int]
    side: int = SIDE
    transform: PixelTransform = SAM_TRANSFORM

    @property
    def covered(self) -> tuple[float, float]:
        """All of it."""
        return 1.0, 1.0

    def pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Turn the image (H, W, 3) into the normalised pixels of the frame, (1, 3, side, side)."""
        return self.transform(image, size=(self.side, self.side))[None]

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move points (..., 2), (x, y) in pixels of the image, into the frame."""
        return _scaled(points, self.size, (self.side, self.side))

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize logits of the frame (N, h, w) to the image, (N, H, W), bilinearly."""
        height, width = self.size
        return resize(logits, (Resize(height, height),), (Resize(width, width),))

    def sample(self, maps: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read maps of the frame (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        return _sampled(maps, self.points(points), self.side)


def cells_read(cells: int, covered: float) -> int:
    """How many of a map's cells along a side are read, of which the image covers the first part.

    Example:
        >>> cells_read(256, 683 / 1024)
        172
    """
    return min(math.ceil(cells * covered) + 1, cells)


def boxes_in(frame: Frame, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move boxes (N, 4), x0, y0, x1, y1 in pixels of the image, into the frame.

    Example:
        >>> boxes_in(SamFrame((512, 256)), np.array([[0, 0, 100, 200]], np.float32)).tolist()
        [[0.0, 0.0, 200.0, 400.0]]
    """
    return frame.points(boxes.reshape(-1, 2, 2)).reshape(-1, 4)


def _scaled(
    points: NDArray[np.float32], size: tuple[int, int], target: tuple[int, int]
) -> NDArray[np.float32]:
    return points * np.array([target[1] / size[1], target[0] / size[0]], np.float32)


def _sampled(maps: torch.Tensor, points: NDArray[np.float32], side: int) -> torch.Tensor:
    """Read maps (N, h, w) bilinearly at points (P, 2) in pixels of the frame, (N, P)."""
    grid = torch.from_numpy(points).to(maps.device)[None, None] * (2 / side) - 1
    read = F.grid_sample(
        maps.float()[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return read[0, :, 0]
