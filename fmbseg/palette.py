"""Colours for class maps: the same class index has the same colour in every picture."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DISTINCT = 256
_LIGHTNESS = (40.0, 88.0)
_LEAST_CHROMA = 30.0


def palette(count: int) -> NDArray[np.uint8]:
    """The colours of classes 0 to ``count`` - 1 in files, (count, 3).

    These are the colours of PASCAL VOC's palette from its second on: its first is black, which here stands
    for "no class". Many are dark or alike; :func:`distinct_colours` are those of pictures to look at.

    Args:
        count: how many, at most 2^24 - 1.

    Example:
        >>> palette(3).tolist()
        [[128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    codes = np.arange(1, count + 1)
    colours = np.zeros((count, 3), dtype=np.uint8)
    for level in range(8):  # bits 0, 1, 2 of the code are the highest bits of red, green, blue; and so on
        for channel in range(3):
            colours[:, channel] |= (((codes >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return colours


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """The colours of classes 0 to ``count`` - 1 in pictures, (count, 3).

    Each is as far from all before it as colours of medium lightness can be (CIELAB), neither dark nor grey;
    a class has the same colour however many there are. The 257th has the first one's again, and so on.

    Example:
        >>> distinct_colours(3).tolist()
        [[255, 0, 0], [0, 255, 0], [0, 68, 255]]
    """
    return _distinct()[np.arange(count) % _DISTINCT]


@lru_cache(maxsize=1)
def _distinct() -> NDArray[np.uint8]:
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(colours)
    usable = (lab[:, 0] >= _LIGHTNESS[0]) & (lab[:, 0] <= _LIGHTNESS[1])
    usable &= np.hypot(lab[:, 1], lab[:, 2]) >= _LEAST_CHROMA
    colours, lab = colours[usable], lab[usable]
    chosen = [int(np.flatnonzero((colours == (255, 0, 0)).all(axis=1))[0])]
    nearest = np.full(len(lab), np.inf)
    while len(chosen) < _DISTINCT:
        nearest = np.minimum(nearest, np.square(lab - lab[chosen[-1]]).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return colours[chosen]


def _lab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """From sRGB (N, 3) to CIELAB with the white of D65 (IEC 61966-2-1, CIE 15)."""
    part = colours / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def colorize(labels: NDArray[np.integer], count: int) -> NDArray[np.uint8]:
    """Paint a class map.

    Args:
        labels: (H, W), -1 for no class.
        count: number of classes.

    Returns:
        RGB, uint8, (H, W, 3); black where there is no class.
    """
    black = np.zeros((1, 3), dtype=np.uint8)
    painted: NDArray[np.uint8] = np.concatenate([distinct_colours(count), black])[
        labels
    ]  # -1 is the last row
    return painted


def overlay(
    image: NDArray[np.uint8], labels: NDArray[np.integer], count: int, alpha: float = 0.55
) -> NDArray[np.uint8]:
    """Lay the classes' colours over a photograph, which stays as it is where there is no class.

    Args:
        image: RGB, uint8, (H, W, 3).
        labels: (H, W), -1 for no class.
        count: number of classes.
        alpha: share of the colour, from 0 to 1.

    Raises:
        ValueError: sizes that differ, or ``alpha`` outside [0, 1].
    """
    if image.shape != (*labels.shape, 3):
        raise ValueError(f"image {image.shape} and labels {labels.shape} must have the same height and width")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a share from 0 to 1, got {alpha}")
    mixed = np.rint((1 - alpha) * image.astype(np.float32) + alpha * colorize(labels, count))
    return np.where(labels[:, :, None] < 0, image, mixed.astype(np.uint8))
