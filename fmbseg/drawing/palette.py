"""Colours of classes: those of files, and those of pictures to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green and blue, from 0 to 255."""

# 256 colours, three digits each. After red, each is as far from all before it (:func:`perception.apart`) as
# any of lightness 0.5 to 0.93 and chroma 0.1 or more in OKLab can be; tests/drawing/test_palette.py chooses
# them again.
_DISTINCT = (
    "f000ff04fc8f098fb0a09bf667c7c8a33facf39d858707cf73cd4f0e60adb66c06f6db7bba026a9ea08f9580dde67d1b"
    "a3d4a4e8bfc8da64843bad44faf0fcfd2fa9c503c68d2b5d80ede8aafa2775ec8046c0da0f3d58e88e36c2996b90b7ed"
    "e5be8e5a79b4dc594a77e175f696e8d04a40d7cb1bc5aac7b8d59c3af98e4beb47f442a9afa0b8f63e095cd8fecb04df"
    "b43c7608aa7d5caf956eff8091da4566bb24d9c2ebbe694cbd748c0eec8b9817fb4f9d1739449e6aec00c3f0c9f99fbe"
    "f9cc36c57be2f2ce4e6b7948b19d63c7a3b56db5720d795db55ad9d8a78fcd0946c6734ee9bc387d699f6fd97c09af8c"
    "6a5b27c6afd72f6da3f9ed220bda3fc7876e68e75aeb55ecc65e7b682a35096ab68f876ae1b8e5fa0bf3990c498a6e9d"
    "e698a4de5081b7371fa555c73a6cd8b63a184bc6d97c4d4827396db066f799474c8f56de8e9bc49fc74ec085bfc6f8c9"
    "7607a154dead8daf04f4a3aacc17b88d7d75b08f5884be97f75ce9dd5085374b2ac69e15c3c75d2970e95b9e8d6d43ab"
)


def palette(count: int) -> NDArray[np.uint8]:
    """The colours of classes 0 to ``count`` - 1 in files, (count, 3).

    These are the colours of PASCAL VOC's palette from the second on: its first is black, which here stands
    for "no class". Many are dark or alike; use :func:`distinct_colours` for pictures to look at.

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

    They look far apart, also to the colour-blind, and are neither dark nor grey; the first are the farthest.
    From the 257th on, colours repeat.

    Example:
        >>> distinct_colours(3).tolist()
        [[255, 0, 0], [0, 255, 255], [0, 68, 255]]
    """
    digits = np.array([int(digit, 16) for digit in _DISTINCT], dtype=np.uint8)
    colours: NDArray[np.uint8] = (17 * digits).reshape(-1, 3)
    return colours[np.arange(count) % len(colours)]
