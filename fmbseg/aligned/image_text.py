"""An aligned encoder in the image-text model's place: Stage 1 once more, with the head's dense map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.models.contracts import ImageTextFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.transform import PixelTransform


class AlignedImageText:
    """An image-text model whose dense map comes from an aligned encoder; words and crops stay its own.

    Used in Stage 1, it makes a second round of labels: masks are named by what the first round's head sees.

    Args:
        encoder: judges which classes a crop shows, and encodes texts.
        aligned: makes the dense map, in the same text space.

    Raises:
        AlignedEncoderError: ``aligned`` maps to another text space, or its cells do not tile the crops.

    Example:
        >>> from fmbseg.aligned.encoder import AlignedEncoder
        >>> from fmbseg.models.image_text.conse import conse
        >>> encoder = AlignedImageText(conse(), AlignedEncoder.from_pretrained("offline"))
        >>> crop = torch.zeros(1, 3, encoder.crop_size, encoder.crop_size)
        >>> encoder.encode_image(crop).dense.shape
        torch.Size([1, 384, 14, 14])
    """

    def __init__(self, encoder: ImageTextEncoder, aligned: AlignedEncoder) -> None:
        if aligned.config.text_encoder != encoder.spec:
            raise AlignedEncoderError(
                f"the head maps to the text space of {aligned.config.text_encoder!r}, but words are encoded "
                f"by {encoder.spec!r}: take a head that was trained with it"
            )
        if encoder.crop_size % aligned.stride:
            raise AlignedEncoderError(
                f"crops of {encoder.crop_size} px are not a whole number of cells of {aligned.stride} px, "
                f"which the backbone {aligned.config.backbone!r} has: take a head of another backbone"
            )
        self.encoder, self.aligned = encoder, aligned
        self.spec, self.dim, self.crop_size = encoder.spec, encoder.dim, encoder.crop_size
        self.stride = aligned.stride
        self.license = encoder.license
        self.transform: PixelTransform = encoder.transform

    def to(self, device: torch.device | str) -> AlignedImageText:
        """Move both to ``device`` and return self."""
        self.encoder, self.aligned = self.encoder.to(device), self.aligned.to(device)
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode K prompts to unit vectors (K, D)."""
        return self.encoder.encode_text(prompts)

    @torch.no_grad()
    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Encode crops (B, 3, crop_size, crop_size) to unit vectors, pooled (B, D) and dense (B, D, h, w)."""
        pixels = self.aligned.transform.renormalised(crops, self.transform)
        return ImageTextFeatures(
            pooled=self.encoder.encode_image(crops).pooled, dense=self.aligned.encode(pixels)
        )
