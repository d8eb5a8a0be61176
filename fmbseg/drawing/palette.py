"""Colours of classes: those of files, those of pictures to look at, and how far apart two of them look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Linear sRGB to the responses of cones, and their cube roots to OKLab (Ottosson, A perceptual color space
# for image processing, 2020).
_CONES = np.array(
    (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
)
_OKLAB = np.array(
    (
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    )
)
# What those without red or without green cones see, in linear sRGB (Machado, Oliveira and Fernandes, A
# Physiologically-based Model for Simulation of Color Vision Deficiency, 2009, table 1, severity 1).
_DICHROMATS = np.array(
    (
        (
            (0.152286, 1.052583, -0.204868),
            (0.114503, 0.786281, 0.099216),
            (-0.003882, -0.048116, 1.051998),
        ),
        (
            (0.367322, 0.860646, -0.227968),
            (0.280085, 0.672501, 0.047413),
            (-0.011820, 0.042940, 0.968881),
        ),
    )
)
_DICHROMATS_COUNT = 2.0
"""A colour-blind eye sees two dimensions in place of three, so colours cannot be as far apart to it."""


def oklab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Lightness (0 to 1) and the two opponent axes of sRGB colours, (..., 3).

    Example:
        >>> oklab(np.array([255, 255, 255], dtype=np.uint8)).round(3).tolist()
        [1.0, 0.0, 0.0]
    """
    return _oklab(_linear(colours))


def apart(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far apart colours (K, 3) look, (K, K): distances in OKLab, where about 0.02 is just seen.

    It is the distance to normal eyes or twice that to those who do not tell red from green (protanopes and
    deuteranopes, one man in fifty), whichever is less.

    Example:
        Red, an olive that protanopes take for it, and blue:

        >>> apart(np.array([[255, 0, 0], [150, 130, 0], [0, 0, 255]], dtype=np.uint8))[0].round(2).tolist()
        [0.0, 0.08, 0.54]
    """
    linear = _linear(colours)
    seen = [_oklab(linear), *(_DICHROMATS_COUNT * _oklab(linear @ each.T) for each in _DICHROMATS)]
    distances = np.stack([np.linalg.norm(one[:, None] - one[None], axis=2) for one in seen])
    least: NDArray[np.float64] = distances.min(axis=0)
    return least


def _linear(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """SRGB without its gamma (IEC 61966-2-1), 0 to 1."""
    share = colours / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    lab: NDArray[np.float64] = np.cbrt(linear.clip(0, 1) @ _CONES.T) @ _OKLAB.T
    return lab


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
