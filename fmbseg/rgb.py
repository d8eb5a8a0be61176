"""Pixels of any common form turned into RGB, uint8, (H, W, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmbseg.bit_depth import NOTHING_STATED, Depth, eight_bits, lift_cut_colours
from fmbseg.signatures import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rgb_from_pillow(image: Image.Image, name: str, depth: Depth = NOTHING_STATED) -> NDArray[np.uint8]:
    """RGB of a Pillow image of any mode; transparent parts are laid on white.

    Args:
        image: decoded, any mode.
        name: of the image, for messages.
        depth: what its file says of its values (:func:`fmbseg.bit_depth.depth_of`).

    Raises:
        ImageError: integers beyond 16 bits or floats outside [0, 1], and the file states no range.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow's own conversion would cut these at 255 and leave a white image.
        return rgb_from_array(eight_bits(np.asarray(image), name, depth), name)
    if depth.is_cut and image.mode in ("RGB", "RGBA", "LA"):
        pixels = np.array(image)
        colours = pixels.shape[2] - (image.mode != "RGB")
        pixels[..., :colours] = lift_cut_colours(pixels[..., :colours], name)
        bands = [Image.fromarray(pixels[..., band]) for band in range(pixels.shape[2])]
        image = Image.merge(image.mode, bands)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def rgb_from_array(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """RGB of grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4); uint8, uint16 or float in [0, 1].

    Args:
        array: as above; uint16 values are scaled by the fewest usual bits that hold them all
            (:func:`fmbseg.bit_depth.eight_bits`).
        name: of the image, for messages.

    Returns:
        A new array, uint8, (H, W, 3).

    Raises:
        ImageError: the shape or type is unsupported, or floats are outside [0, 1].

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
    if array.dtype != np.uint16 and not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"{name} must be uint8, uint16 or float in [0, 1], not {array.dtype}; convert it first"
        )
    return eight_bits(array, name)
