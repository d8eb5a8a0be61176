"""Models that lack parts of their contracts, and one that does not."""

from __future__ import annotations

from typing import Any


class HalfABackbone:
    dim, stride = 3, 16

    def encode(self, pixels: Any) -> Any:
        return pixels


class HalfAnEncoder:
    spec, dim, crop_size, stride, license, transform = "half-an-encoder", 4, 32, 8, "CC0-1.0", None

    def to(self, device: Any) -> Any:
        return self

    def encode_text(self, prompts: Any) -> Any:
        return prompts


class HalfAGenerator:
    spec, promptable = "half-a-generator", True


class Everything:
    """A mask generator that fulfils its contract."""

    spec, promptable, license = "everything", False, "CC0-1.0"

    def begin(self, image: Any) -> Any:
        return image
