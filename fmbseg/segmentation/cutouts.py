"""Masks cut out of their photograph: what an image-text model makes of each alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from PIL import Image, ImageFilter

from fmbseg.models.batching import Batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.contracts import ImageTextEncoder

SURROUNDINGS = ("grey", "blurred", "mean")
"""What is around a mask in its cut-outs: grey, the photograph blurred, and the mask's own mean colour."""

_ROOM = 0.1
_GREY = 127
_SMALL = 320  # longest side of the copy that is blurred
_BLUR = _SMALL / 25


def cut_outs(
    image: NDArray[np.uint8], inside: NDArray[np.bool_], blurred: Image.Image, size: int
) -> Iterator[NDArray[np.uint8]]:
    """What is under a mask, in the middle of a square, what is around it hidden in each of SURROUNDINGS.

    What one filling adds to a mask's look (a grey thing on grey, an edge that was not there) the others lack.
    Beyond the photograph all are grey.

    Args:
        image: RGB, (H, W, 3).
        inside: (H, W), the mask, which is not empty.
        blurred: the image, of any size (:func:`blur`).
        size: at which the model sees it, in pixels; squares of four times as many and more are made
            smaller, to twice as many and more.

    Yields:
        (S, S, 3), whose side is the longer one of the mask's box and a tenth of it at each end; for whole
        pixels one side may be a pixel longer than the other.

    Example:
        >>> white, one = np.full((1, 4, 3), 255, np.uint8), np.array([[False, True, True, False]])
        >>> [crop[:, :, 0].tolist() for crop in cut_outs(white, one, blur(white), 224)][0]
        [[127, 127, 127], [127, 255, 255]]
    """
    (top, bottom), (left, right) = (_ends(inside.any(axis=axis)) for axis in (1, 0))
    half = max(bottom - top, right - left) * (1 + 2 * _ROOM) / 2
    down, across = (top + bottom) / 2, (left + right) / 2
    top, bottom = math.floor(down - half), math.floor(down + half)
    left, right = math.floor(across - half), math.floor(across + half)
    height, width = inside.shape
    box = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
    within = slice(box[0].start - top, box[0].stop - top), slice(box[1].start - left, box[1].stop - left)
    crop = np.full((bottom - top, right - left, 3), _GREY, np.uint8)
    shown = np.zeros(crop.shape[:2], np.bool_)
    crop[within], shown[within] = image[box], inside[box]
    step = max(crop.shape) // (2 * size)
    if step > 1:
        crop = np.asarray(Image.fromarray(crop).reduce(step))
        for axis, length in enumerate(shown.shape):  # what a pixel now covers is shown if any part of it was
            shown = np.maximum.reduceat(shown, range(0, length, step), axis=axis)
        within = (
            slice(within[0].start // step, -(-within[0].stop // step)),
            slice(within[1].start // step, -(-within[1].stop // step)),
        )
    surroundings = (
        np.uint8(_GREY),
        _part(blurred, box, (height, width), crop[within].shape[:2]),
        crop[shown].mean(axis=0).astype(np.uint8),
    )
    for filling in surroundings:
        beside = np.full_like(crop, _GREY)
        beside[within] = filling
        yield np.where(shown[..., None], crop, beside)


def blur(image: NDArray[np.uint8]) -> Image.Image:
    """A small copy of an image (H, W, 3), blurred so that colours stay and things do not."""
    small = Image.fromarray(image)
    small.thumbnail((_SMALL, _SMALL))
    return small.filter(ImageFilter.GaussianBlur(_BLUR * max(small.size) / _SMALL))


def _part(
    small: Image.Image, box: tuple[slice, slice], size: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """What a box of an image of a size shows, in another shape (rows, columns), from a smaller copy of it."""
    down, across = small.height / size[0], small.width / size[1]
    rows, columns = box
    corners = columns.start * across, rows.start * down, columns.stop * across, rows.stop * down
    return np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=corners))


def _ends(line: Any) -> tuple[int, int]:
    places = np.flatnonzero(line)
    return int(places[0]), int(places[-1]) + 1


class Cutouts:
    """Sees masks of images alone, as OVSeg does (Liang et al. 2023, arXiv 2210.04150, section 3.1).

    OVSeg hides what is around a mask in one way; here a mask is seen with each of ``SURROUNDINGS``.

    Args:
        text_encoder: the image-text model.
        device: where it is.
        batch_size: cut-outs encoded at once; fewer from then on where the device's memory is short.
    """

    def __init__(self, text_encoder: ImageTextEncoder, *, device: torch.device, batch_size: int) -> None:
        self._encoder, self._device = text_encoder, device
        self._batches = Batches(_Pooled(text_encoder), batch_size)

    def of(self, image: NDArray[np.uint8], masks: MaskSet) -> torch.Tensor:
        """See masks of an image, (N, D): the mean over ``SURROUNDINGS`` of unit vectors.

        Args:
            image: RGB, (H, W, 3).
            masks: N of them, at least one; none is empty.
        """
        side, blurred = self._encoder.crop_size, blur(image)
        crops = [
            self._encoder.transform(crop, (side, side)).to(self._device)
            for index in range(len(masks))
            for crop in cut_outs(image, masks.decode(index), blurred, side)
        ]
        seen = F.normalize(torch.stack(self._batches.encode(crops)).flatten(1), dim=1)
        return seen.reshape(len(masks), len(SURROUNDINGS), -1).mean(dim=1)


@dataclass(frozen=True, eq=False)
class _Pooled:
    """The one vector of each crop as an encoder of patches, of which there is one."""

    text_encoder: ImageTextEncoder

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.text_encoder.encode_image(pixels).pooled[..., None, None]
