"""Pixels of any common form turned into RGB, uint8, (H, W, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT_SLACK = 1e-4  # what resizing in float32 may leave outside [0, 1]
_UINT16_MAX = 65_535


class ImageError(ValueError):
    """An image that cannot be used; the message names it and says what to do."""


def rgb_from_pillow(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """RGB of a Pillow image of any mode; transparent parts are laid on white.

    Args:
        image: decoded, any mode.
        name: of the image, for messages.

    Raises:
        ImageError: integers beyond 16 bits or floats outside [0, 1].
    """
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow's own conversion would cut these at 255 and leave a white image.
        return rgb_from_array(_sixteen_bits(np.asarray(image), name), name)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def rgb_from_array(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """RGB of grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4); uint8, uint16 or float in [0, 1].

    Args:
        array: as above; of uint16 the upper eight bits count.
        name: of the image, for messages.

    Returns:
        A new array, uint8, (H, W, 3).

    Raises:
        ImageError: another shape or type, or floats outside [0, 1].

    Example:
        >>> rgb_from_array(np.array([[0, 65535]], np.uint16), "two pixels").tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        turn = "; for channels first use array.transpose(1, 2, 0)" if array.shape[:1] in ((3,), (4,)) else ""
        raise ImageError(f"{name} must have shape (H, W), (H, W, 3) or (H, W, 4), got {array.shape}{turn}")
    if not array.size:
        raise ImageError(f"{name} has no pixel: shape {array.shape}")
    pixels = _eight_bits(array, name)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 4:
        return rgb_from_pillow(Image.fromarray(np.ascontiguousarray(pixels)), name)
    return np.array(pixels, order="C")


def _eight_bits(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"{name} must be uint8, uint16 or float in [0, 1], not {array.dtype}; convert it first"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= -_FLOAT_SLACK and high <= 1 + _FLOAT_SLACK):  # so written, NaN fails too
        raise ImageError(
            f"{name}: floats must lie in [0, 1], these go from {low:g} to {high:g}; "
            f"divide by their largest possible value, or give uint8"
        )
    scaled: NDArray[np.uint8] = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return scaled


def _sixteen_bits(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Integers as uint16; floats as they are."""
    if np.issubdtype(values.dtype, np.floating):
        return values
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _UINT16_MAX:
        raise ImageError(
            f"{name} holds integers from {low} to {high}, more than 16 bits; save it with 8 or 16 bits"
        )
    return values.astype(np.uint16)
