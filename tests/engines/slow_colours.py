"""The image-text model of colours, slow enough for something to happen meanwhile; its labels are equal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.labeling.colours import ColourEncoder

if TYPE_CHECKING:
    import torch

    from fmbseg.models.contracts import ImageTextFeatures


class SlowColours(ColourEncoder):
    """Waits before it answers.

    Args:
        seconds: a call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        time.sleep(self.seconds)
        return super().encode_image(crops)
