"""Colours for class maps: the same class index has the same colour in every picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def palette(count: int) -> NDArray[np.uint8]:
    """The colours of classes 0 to ``count`` - 1, (count, 3).

    These are the colours of PASCAL VOC's palette from its second on: its first is black, which would
    not show as an overlay and here stands for "no class".

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


def colorize(labels: NDArray[np.integer], count: int) -> NDArray[np.uint8]:
    """Paint a class map.

    Args:
        labels: (H, W), -1 for no class.
        count: number of classes.

    Returns:
        RGB, uint8, (H, W, 3); black where there is no class.
    """
    black = np.zeros((1, 3), dtype=np.uint8)
    painted: NDArray[np.uint8] = np.concatenate([palette(count), black])[labels]  # -1 is the last row
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
