"""Pictures of one quantity, dark to bright."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
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
        values: (h, w); with an image they are resized to it, bilinearly.
        image: RGB, uint8, (H, W, 3); it shows through in grey.
        limits: the values drawn darkest and brightest; by default the least and the largest.

    Returns:
        RGB.

    Raises:
        ValueError: the limits are not in ascending order.

    Example:
        >>> draw_heatmap(np.array([[0.0, 1.0]])).getpixel((1, 0))
        (253, 231, 37)
    """
    if image is not None and values.shape != image.shape[:2]:
        cells = Image.fromarray(values.astype(np.float32))
        values = np.asarray(cells.resize((image.shape[1], image.shape[0]), Image.Resampling.BILINEAR))
    low, high = limits or (float(values.min()), float(values.max()))
    if low > high:
        raise ValueError(
            f"limits is ({low}, {high}): it must be the darkest value and then a larger, brightest one"
        )
    place = (values - low).clip(0, high - low) / max(high - low, np.finfo(np.float32).tiny)
    channels = [np.interp(place, np.linspace(0, 1, len(_STOPS)), stops) for stops in _STOPS.T]
    colours = np.stack(channels, axis=-1)
    if image is not None:
        # In grey, so that the photograph's own colours are not taken for the map's.
        colours = _ALPHA * colours + (1 - _ALPHA) * image.mean(axis=2, keepdims=True)
    return Image.fromarray(np.rint(colours).astype(np.uint8))
