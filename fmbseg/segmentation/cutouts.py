"""Masks cut out of their photograph: what an image-text model makes of each alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.batching import Batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.contracts import ImageTextEncoder

_ROOM = 0.1
_GREY = 127


def cut_out(image: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What is under a mask, the rest grey, in its box with a tenth of its sides more around it.

    Args:
        image: RGB, (H, W, 3).
        inside: (H, W), the mask, which is not empty.

    Example:
        >>> white, one = np.full((1, 4, 3), 255, np.uint8), np.array([[False, True, True, False]])
        >>> cut_out(white, one)[0, :, 0].tolist()
        [255, 255]
    """
    (top, bottom), (left, right) = (_ends(inside.any(axis=axis)) for axis in (1, 0))
    below, beside = int((bottom - top) * _ROOM), int((right - left) * _ROOM)
    box = (
        slice(max(0, top - below), bottom + below),
        slice(max(0, left - beside), right + beside),
    )
    return np.where(inside[box][..., None], image[box], np.uint8(_GREY))


def _ends(line: Any) -> tuple[int, int]:
    places = np.flatnonzero(line)
    return int(places[0]), int(places[-1]) + 1


class Cutouts:
    """Sees masks of images alone, as OVSeg does (Liang et al. 2023, arXiv 2210.04150, section 3.1).

    Args:
        text_encoder: the image-text model.
        device: where it is.
        batch_size: cut-outs encoded at once; fewer from then on where the device's memory is short.
    """

    def __init__(self, text_encoder: ImageTextEncoder, *, device: torch.device, batch_size: int) -> None:
        self._encoder, self._device = text_encoder, device
        self._batches = Batches(_Pooled(text_encoder), batch_size)

    def of(self, image: NDArray[np.uint8], masks: MaskSet) -> torch.Tensor:
        """See masks of an image, (N, D), unit vectors.

        Args:
            image: RGB, (H, W, 3).
            masks: N of them, at least one; none is empty.
        """
        side, device = self._encoder.crop_size, self._device
        crops = [
            self._encoder.transform(cut_out(image, masks.decode(index)), (side, side)).to(device)
            for index in range(len(masks))
        ]
        return F.normalize(torch.stack(self._batches.encode(crops)).flatten(1), dim=1)


@dataclass(frozen=True, eq=False)
class _Pooled:
    """The one vector of each crop as an encoder of patches, of which there is one."""

    text_encoder: ImageTextEncoder

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.text_encoder.encode_image(pixels).pooled[..., None, None]
