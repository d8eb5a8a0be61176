"""Colours of classes: the same class index has the same colour in every picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green and blue, from 0 to 255."""

# 256 colours, three digits each. After red, each is as far from all before it (CIEDE2000) as any of lightness
# 42 to 88 and chroma 30 or more can be; tests/drawing/test_palette.py chooses them again.
_DISTINCT = (
    "f000f00bf90f075fcffb286216af080ed790fa998d955ac9089d70f5fcd09480a6c8aa40ba638f370d669bf6690e90bc"
    "a75fc909835fb80c038c4f74685d1b771ed8b36d9e6ef090f89c9685bb5fa6818b6cacbff6b97afacaa067cd50c87c00"
    "f909848a60c5fa7f05b549e8a61ec0a2b184c6bd689eb6a85afca2ae389fcd886e6cef76ab5c084ac0bada5b7d9707c8"
    "b56f44f83b9c0795a4486c74d64d05f3c8cfc0e5806cca5afae67365c474a85b9fe0337c9532e62aaf57760fc79942b0"
    "4d1a7fd97596c59c8346ccc587be1f0a8aafd880c8d90b94f8b980db8783874f8dd9c59c859088c41b649510eba72ea6"
    "9c776b74fac2f97f5177f47f956d7d68b6a0cb07dcd4396bbb7ed5b7a27ab73294794763f59382c5d5a9d27a8c08db50"
    "a445b6b66d4694dd84969964ec6f8fa658e59740730df69f5ee8b0c617968b8faaa4709b096570a4566dcb55b8d89087"
    "e099548827b5d7ba42b86d76076c8cb097ec09a8a4fb9c8fa93b49591f3aa9d06f872e60f6db4cfa1ad608a78db766cd"
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

    They are perceptually far apart, neither dark nor grey; a class has the same colour however many
    classes there are. From the 257th class on, colours repeat.

    Example:
        >>> distinct_colours(3).tolist()
        [[255, 0, 0], [0, 255, 0], [0, 187, 255]]
    """
    digits = np.array([int(digit, 16) for digit in _DISTINCT], dtype=np.uint8)
    colours: NDArray[np.uint8] = (17 * digits).reshape(-1, 3)
    return colours[np.arange(count) % len(colours)]


def colour_of(index: int) -> Colour:
    """The colour of one class in pictures.

    Example:
        >>> colour_of(1)
        (0, 255, 0)
    """
    red, green, blue = distinct_colours(index + 1)[index].tolist()
    return red, green, blue
