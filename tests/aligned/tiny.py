"""Small models with random weights for the parts of a test where the real ones would only cost time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.contracts import ImageTextFeatures

HALF = PixelTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class TinyBackbone:
    """A random projection of each patch of 8 x 8 pixels to 24 channels."""

    spec = "tiny-test"
    dim = 24
    stride = 8
    native_size = 32
    license = "CC0-1.0"
    transform = HALF

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.weight = torch.randn(self.dim, 3, self.stride, self.stride, generator=generator) / 14

    def to(self, device: torch.device | str) -> TinyBackbone:
        self.weight = self.weight.to(device)
        return self

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(pixels, self.weight, stride=self.stride)


class TinyImageText:
    """Texts to unit vectors that their own bytes seed; it counts how often it is asked."""

    spec = "tiny-test"
    crop_size = 32
    stride = 8
    license = "CC0-1.0"
    transform = HALF

    def __init__(self, dim: int | str = 16) -> None:
        self.dim = int(dim)
        self.asked = 0

    def to(self, device: torch.device | str) -> TinyImageText:
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        self.asked += 1
        seeds = [int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:7], "big") for prompt in prompts]
        rows = [torch.randn(self.dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return functional.normalize(torch.stack(rows), dim=1)

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        raise NotImplementedError("no test of the alignment encodes an image with the image-text model")


BACKBONES.register("tiny-test")(TinyBackbone)
IMAGE_TEXT.register("tiny-test")(TinyImageText)
