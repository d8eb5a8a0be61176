"""Many images of mixed sizes through one encoder, in batches of images of equal size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.contracts import PatchEncoder


def encode_all(
    encoder: PatchEncoder, images: Sequence[torch.Tensor], *, batch_size: int = 8
) -> list[torch.Tensor]:
    """Encode images of any size, those of equal size together.

    Args:
        encoder: encodes batches.
        images: pixels (3, H, W) each, as the encoder's transform makes them.
        batch_size: largest number of images encoded at once.

    Returns:
        A grid (D, H/stride, W/stride) for each image, in the order of the images.

    Raises:
        ValueError: ``batch_size`` is not positive, or the encoder refuses an image.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> backbone = BACKBONES.create("timm:test_vit?weights=random")
        >>> sizes = [(32, 48), (64, 32), (32, 48)]
        >>> [tuple(grid.shape) for grid in encode_all(backbone, [torch.zeros(3, *size) for size in sizes])]
        [(64, 2, 3), (64, 4, 2), (64, 2, 3)]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: it must be 1 or more")
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(tuple(image.shape), []).append(index)
    grids: dict[int, torch.Tensor] = {}
    for alike in by_size.values():
        for start in range(0, len(alike), batch_size):
            batch = alike[start : start + batch_size]
            encoded = encoder.encode(torch.stack([images[index] for index in batch]))
            grids.update(zip(batch, encoded, strict=True))
    return [grids[index] for index in range(len(images))]
