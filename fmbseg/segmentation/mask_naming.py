"""Masks named as in Stage 1.2, by :func:`fmbseg.mask_means.mask_means`, and painted over the pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from fmbseg.mask_means import mask_means
from fmbseg.segmentation.decoding import decode

if TYPE_CHECKING:
    from fmbseg.masks import MaskSet
    from fmbseg.segmentation.decoding import Decoded, SecondMap


def paint_masks(
    decoded: Decoded,
    masks: MaskSet,
    text_map: torch.Tensor,
    prototypes: torch.Tensor,
    *,
    second: SecondMap | None = None,
    top: int = 1,
    temperature: float | None = None,
) -> None:
    """Give the pixels of each mask what its mean is decoded to, large masks first.

    The masks are decoded like a line of so many pixels, so that scores, the best few and the softmax's sum
    mean for a mask what they mean for a pixel.

    Args:
        decoded: of the image, with the same ``top`` and ``temperature``; it is painted on.
        masks: of the image; empty ones are passed over.
        text_map: (D, h, w), which covers the image.
        prototypes: (K, D).
        second: another map, whose mean under each mask is mixed in.
        top: how many of the best texts are kept.
        temperature: of the softmax, if its sum is.

    Raises:
        ValueError: masks of another size than the image.

    Example:
        >>> from fmbseg.masks import MaskSet
        >>> left_right = torch.eye(2)[:, None, :]  # one row of two cells, each of one class
        >>> found = decode(left_right, torch.eye(2), (1, 4))
        >>> three = MaskSet.from_masks(np.array([[[True, True, True, False]]]))
        >>> paint_masks(found, three, left_right, torch.eye(2))
        >>> found.labels.tolist()
        [[0, 0, 0, 1]]
    """
    size = tuple(decoded.labels.shape)
    if masks.size != size:
        raise ValueError(f"the masks are of an image of {masks.size}, the class map is {size}")
    masks = masks.select(masks.areas > 0)
    if not len(masks):
        return
    maps = [text_map] if second is None else [text_map, second.text_map]  # on one grid
    means = mask_means(masks, torch.cat(maps)).chunk(len(maps), dim=1)  # masks are decoded once for all
    line, *other = [one.T[:, None] for one in means]
    if second is not None:
        second = replace(second, text_map=other[0])
    named = decode(line, prototypes, (1, len(masks)), second=second, top=top, temperature=temperature)
    for index in np.argsort(-masks.areas, kind="stable").tolist():
        inside = torch.from_numpy(masks.decode(index)).to(text_map.device)
        for of_pixels, of_masks in zip(decoded, named, strict=True):
            if of_pixels is not None and of_masks is not None:
                of_pixels[..., inside] = of_masks[..., 0, index, None]
