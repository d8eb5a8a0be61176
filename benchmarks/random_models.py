"""Random models for benchmarks: what time and memory depend on, without what weights have learned."""

from __future__ import annotations

from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg import Vocabulary
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.models.contracts import ImageTextFeatures

IMAGENET = PixelTransform(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class RandomBackbone:
    """A timm vision transformer with random weights, behind the backbone's contract.

    Args:
        name: of timm's architecture.
        img_size: side in pixels that its position embedding is made for.
    """

    spec = "benchmark:random"
    license = "Apache-2.0"
    transform = IMAGENET

    def __init__(self, name: str, img_size: int = 518) -> None:
        import timm

        torch.manual_seed(0)
        self._model = cast(
            "Any",
            timm.create_model(
                name, pretrained=False, img_size=img_size, dynamic_img_size=True, num_classes=0
            ),
        )
        self._model.eval().requires_grad_(False)
        self.dim: int = self._model.embed_dim
        self.stride: int = self._model.patch_embed.patch_size[0]
        self.native_size = img_size

    def to(self, device: torch.device | str) -> RandomBackbone:
        """Move the weights to ``device`` and return self."""
        self._model.to(device)
        return self

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, dim, H/stride, W/stride)."""
        tokens = self._model.forward_features(pixels)[:, self._model.num_prefix_tokens :]
        height, width = (side // self.stride for side in pixels.shape[-2:])
        grid: torch.Tensor = tokens.transpose(1, 2).unflatten(2, (height, width))
        return grid


class RandomTexts:
    """Random unit vectors for words: encoding words once is not part of what is measured.

    Args:
        dim: of the text space.
    """

    spec = "benchmark:random"
    crop_size, stride = 224, 14
    license = "Apache-2.0"
    transform = IMAGENET

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def to(self, device: torch.device | str) -> RandomTexts:
        """Return self: there is nothing to move."""
        del device
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Make K unit vectors."""
        return F.normalize(torch.randn(len(prompts), self.dim, generator=seeded()), dim=1)

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Not measured here."""
        raise NotImplementedError(f"this benchmark encodes no crops, got {tuple(crops.shape)}")


def seeded() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(1)


class Remembering:
    """A backbone whose next answers are its last one, given back at once.

    Args:
        backbone: that made the features.
        features: (B, dim, h, w).
    """

    spec = "benchmark:remembering"
    license = "Apache-2.0"
    transform = IMAGENET

    def __init__(self, backbone: RandomBackbone, features: torch.Tensor) -> None:
        self.dim, self.stride, self.native_size = backbone.dim, backbone.stride, backbone.native_size
        self._features = features

    def to(self, device: torch.device | str) -> Remembering:
        """Return self: there is nothing to move."""
        del device
        return self

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give the features back."""
        del pixels
        return self._features


def photograph(size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise, (H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def words(count: int) -> Vocabulary:
    """So many classes."""
    return Vocabulary.of([f"class {index}" for index in range(count)])


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds that a call takes: of the processor, and by the clock."""
    start, ticks = process_time(), perf_counter()
    call()
    return process_time() - start, perf_counter() - ticks
