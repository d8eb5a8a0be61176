"""Real photographs of scikit-image with labels drawn by hand: rough boxes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage import data

from fmbseg.alignment.label_source import RecordedLabels
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = Vocabulary.of(["cup", "cat", "bathtub", "person", "table"])
CUP, CAT, BATHTUB, PERSON, TABLE = range(5)

# class, then top, bottom, left and right as shares of the photograph
BOXES = {
    "chelsea": [(CAT, 0.05, 1.0, 0.1, 0.9)],
    "coffee": [(TABLE, 0.0, 1.0, 0.0, 1.0), (CUP, 0.1, 0.85, 0.25, 0.8)],
    "astronaut": [(PERSON, 0.0, 1.0, 0.2, 0.75)],
}


@dataclass(frozen=True)
class Label:
    path: str
    sha256: str
    size: tuple[int, int]
    detected: tuple[int, ...]
    pixels: NDArray[np.int32]

    def label_map(self) -> NDArray[np.int32]:
        return self.pixels


def labelled(
    folder: Path, names: tuple[str, ...] = tuple(BOXES), *, side: int | None = None
) -> RecordedLabels:
    """Write photographs to ``folder``, the longer side ``side`` if given, and label them with their boxes."""
    return RecordedLabels(tuple(_label(folder, name, side) for name in names), WORDS, folder)


def _label(folder: Path, name: str, side: int | None) -> Label:
    image = Image.fromarray(np.asarray(getattr(data, name)()))
    if side is not None:
        image.thumbnail((side, side))
    path = folder / f"{name}.png"
    image.save(path)
    width, height = image.size
    pixels = np.full((height, width), -1, np.int32)
    for index, top, bottom, left, right in BOXES[name]:
        pixels[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = index
    detected = tuple(sorted(set(pixels[pixels >= 0].tolist())))
    return Label(path.name, sha256(path.read_bytes()).hexdigest(), (height, width), detected, pixels)
