"""Models of colours that count what they are asked, and methods made of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.masks import MaskSet
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT, MASK_GENERATORS
from fmbseg.recipes import Recipe
from fmbseg.segment_settings import KnowledgePreservation, RegionNaming, SegmentSettings, WindowSettings
from tests.aligned.tiny import TinyBackbone
from tests.labeling.colours import ColourEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from fmbseg.models.contracts import ImageTextFeatures

ASKED: Counter[str] = Counter()
"""Crops, windows and images that the models were asked for."""


class CountedColours(ColourEncoder):
    spec = "counted-colours"

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        ASKED["crops"] += len(crops)
        return super().encode_image(crops)


class CountedBackbone(TinyBackbone):
    spec = "counted-patches"

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        ASKED["windows"] += len(pixels)
        return super().encode(pixels)


class Quarters:
    """Masks are the quarters of an image; a prompt gets the quarter of its first point."""

    spec, promptable, license = "quarters", True, "CC0-1.0"

    def begin(self, image: NDArray[np.uint8]) -> _Quarters:
        ASKED["images"] += 1
        return _Quarters(image.shape[0], image.shape[1])


class _Quarters:
    def __init__(self, height: int, width: int) -> None:
        self.masks = np.zeros((4, height, width), np.bool_)
        for index in range(4):
            down, right = divmod(index, 2)
            rows = slice(down * height // 2, (down + 1) * height // 2)
            self.masks[index, rows, right * width // 2 : (right + 1) * width // 2] = True

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        ASKED["prompts"] += len(points)
        assert boxes is None
        firsts = [one[0].astype(int) for one in points]
        which = [int(np.flatnonzero(self.masks[:, y, x])[0]) for x, y in firsts]
        return MaskSet.from_masks(self.masks[which], np.ones(len(which)))

    def everything(self) -> MaskSet:
        ASKED["everything"] += 1
        return MaskSet.from_masks(self.masks, np.ones(4))


IMAGE_TEXT.register("counted-colours")(CountedColours)
BACKBONES.register("counted-patches")(CountedBackbone)
MASK_GENERATORS.register("quarters")(Quarters)

RECIPE = Recipe(
    "colours",
    "colours in quarters",
    image_text="counted-colours",
    mask_generator="quarters",
    backbone="counted-patches",
    labeling={"short_side": 64, "min_crops": 1},
    segmenting=SegmentSettings(
        windows=WindowSettings(short_side=64, window=None),
        preserve=KnowledgePreservation(weight=0.5, short_side=64),
        refine=RegionNaming("quarters"),
    ),
)


def save_head(folder: Path) -> Path:
    """A random head whose text space is colour."""
    AlignedEncoder(CountedBackbone(), AlignmentHead(24, 3), CountedColours()).save_pretrained(folder)
    return folder
