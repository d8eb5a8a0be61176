"""From an RGB image to the normalised pixels that a model takes; the numbers travel with the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class PixelTransform:
    """Resize, scale to [0, 1], subtract ``mean`` and divide by ``std``.

    Args:
        mean: mean of each RGB channel, for values in [0, 1].
        std: standard deviation of each RGB channel, for values in [0, 1].
        interpolation: how images are resized.

    Example:
        >>> import numpy as np
        >>> half = PixelTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> half(np.full((4, 6, 3), 255, np.uint8), size=(2, 3)).unique()
        tensor([1.])
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __call__(self, image: NDArray[np.uint8], size: tuple[int, int]) -> torch.Tensor:
        """Turn an RGB image (H, W, 3) of 0 to 255 into float32 pixels (3, *size).

        Args:
            image: RGB, uint8, (H, W, 3).
            size: height and width of the result, in pixels.
        """
        height, width = size
        if image.shape[:2] != (height, width):
            resized = Image.fromarray(image).resize((width, height), _RESAMPLING[self.interpolation])
            image = np.asarray(resized)
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        # A byte has 256 values: these are computed, and looked up for each pixel.
        values = ((torch.arange(256) / 255.0 - mean[:, None]) / std[:, None]).numpy()
        pixels = np.empty((3, height, width), np.float32)
        for channel in range(3):
            np.take(values[channel], image[..., channel], out=pixels[channel], mode="clip")
        return torch.from_numpy(pixels)

    def renormalised(self, pixels: torch.Tensor, other: PixelTransform) -> torch.Tensor:
        """Turn pixels (..., 3, H, W) made by another transform into what this one would make, resizing aside.

        Example:
            >>> zero = PixelTransform(mean=(0, 0, 0), std=(1, 1, 1))
            >>> half = PixelTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
            >>> half.renormalised(torch.ones(3, 1, 1), zero).flatten()
            tensor([1., 1., 1.])
        """
        if (self.mean, self.std) == (other.mean, other.std):
            return pixels
        mine, theirs = (
            [pixels.new_tensor(values)[:, None, None] for values in (one.mean, one.std)]
            for one in (self, other)
        )
        return (pixels * theirs[1] + theirs[0] - mine[0]) / mine[1]
