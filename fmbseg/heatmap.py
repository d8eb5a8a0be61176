"""Pictures of one quantity, dark to bright, and pictures beside one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_STOPS = np.array(  # matplotlib's "viridis" at tenths: brightness grows evenly, also for the colour-blind
    (
        *((68, 1, 84), (72, 36, 117), (65, 68, 135), (53, 95, 141), (42, 120, 142), (33, 145, 140)),
        *((34, 168, 132), (68, 191, 112), (122, 209, 81), (189, 223, 38), (253, 231, 37)),
    )
)
_ALPHA = 0.65


def draw_heatmap(
    values: NDArray[np.floating],
    image: NDArray[np.uint8] | None = None,
    limits: tuple[float, float] | None = None,
) -> Image.Image:
    """Draw values from dark blue to bright yellow.

    Args:
        values: (H, W).
        image: RGB, uint8, (H, W, 3), that shows through.
        limits: values that are drawn darkest and brightest; the least and the largest if not given.

    Raises:
        ValueError: limits that are not in order.

    Example:
        >>> draw_heatmap(np.array([[0.0, 1.0]])).getpixel((1, 0))
        (253, 231, 37)
    """
    low, high = limits or (float(values.min()), float(values.max()))
    if low > high:
        raise ValueError(f"limits are the darkest value and then the brightest; got {low} and {high}")
    place = (values - low).clip(0, high - low) / max(high - low, np.finfo(np.float32).tiny)
    channels = [np.interp(place, np.linspace(0, 1, len(_STOPS)), stops) for stops in _STOPS.T]
    colours = np.stack(channels, axis=-1)
    if image is not None:
        colours = _ALPHA * colours + (1 - _ALPHA) * image
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def side_by_side(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Join pictures on white, left to right, ``gap`` pixels apart.

    Example:
        >>> side_by_side([Image.new("RGB", (2, 3)), Image.new("RGB", (4, 1))]).size
        (6, 3)
    """
    width = sum(one.width for one in pictures) + gap * (len(pictures) - 1)
    size = (width, max(one.height for one in pictures))
    joined = Image.new("RGB", size, "white")
    left = 0
    for one in pictures:
        joined.paste(one, (left, 0))
        left += one.width + gap
    return joined
