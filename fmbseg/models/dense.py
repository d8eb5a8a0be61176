"""An image-text encoder's dense map as a backbone whose features are already in the text space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.transform import PixelTransform


class DenseBackbone:
    """A :class:`~fmbseg.models.contracts.Backbone` made from an image-text encoder's dense map.

    Images are over-sampled, half-overlapping crops of the encoder's own size are encoded, and their maps are
    stitched (paper §3.2) and resized to the requested grid.

    Args:
        encoder: encodes images and texts.
        stride: pixels of the given image between the cells of the map.
        short_side: length in pixels to which the image's short side is over-sampled.

    Example:
        >>> from fmbseg.models.image_text.conse import conse
        >>> dense = DenseBackbone(conse(), stride=16)
        >>> dense.spec, dense.encode(torch.zeros(1, 3, 256, 304)).shape
        ('dense:conse@448', torch.Size([1, 384, 16, 19]))
    """

    def __init__(self, encoder: ImageTextEncoder, stride: int, short_side: int = 448) -> None:
        self._encoder = encoder
        self._short_side = short_side
        self.spec: str = f"dense:{encoder.spec}@{short_side}"
        self.dim: int = encoder.dim
        self.stride: int = stride
        self.native_size: int = -(-encoder.crop_size // stride) * stride
        self.license: str = encoder.license
        self.transform: PixelTransform = encoder.transform

    def to(self, device: torch.device | str) -> DenseBackbone:
        """Move the weights to ``device`` and return self."""
        self._encoder = self._encoder.to(device)
        return self

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to unit vectors (B, dim, H/stride, W/stride); H, W multiples of ``stride``."""
        from torchvision.transforms.functional import resize  # type: ignore[import-untyped] # slow to import

        size = (pixels.shape[2], pixels.shape[3])
        plan = WindowPlan.crops(
            size, short_side=self._short_side, crop=self._encoder.crop_size, stride=self._encoder.stride
        )
        images = resize(pixels, list(plan.image_size), antialias=True)
        maps = [plan.stitch(self._encoder.encode_image(torch.stack(plan.cut(one))).dense) for one in images]
        grid = (size[0] // self.stride, size[1] // self.stride)
        dense = F.interpolate(torch.stack(maps), grid, mode="bilinear", align_corners=False)
        return F.normalize(dense, dim=1)
