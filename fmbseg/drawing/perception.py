"""How far apart colours look, also to the colour-blind."""

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
