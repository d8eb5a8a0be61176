"""Checks that every model makes of the pixels it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def check_pixels(pixels: torch.Tensor, stride: int, model: str) -> None:
    """Refuse what is not a batch of RGB pixels whose sides are multiples of ``stride``.

    Args:
        pixels: (B, 3, H, W), floating point.
        stride: what H and W must be multiples of, in pixels.
        model: named in the message.

    Raises:
        ValueError: with the shape or type that was given, and what to do.

    Example:
        >>> import torch
        >>> check_pixels(torch.zeros(1, 3, 32, 40), 16, "example")
        Traceback (most recent call last):
        ...
        ValueError: example takes sides that are multiples of 16 px, got 32 x 40: resize or pad the image
    """
    shape = tuple(pixels.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise ValueError(f"{model} takes pixels of shape (B, 3, H, W), got {shape}: stack RGB images")
    if not pixels.is_floating_point():
        raise ValueError(
            f"{model} takes floating point pixels, got {pixels.dtype}: use its own `transform` first"
        )
    height, width = shape[2:]
    if height % stride or width % stride or not height or not width:
        raise ValueError(
            f"{model} takes sides that are multiples of {stride} px, got {height} x {width}:"
            " resize or pad the image"
        )


def check_image(image: NDArray[np.uint8], model: str) -> None:
    """Refuse what is not one RGB image.

    Args:
        image: (H, W, 3), uint8.
        model: named in the message.

    Raises:
        ValueError: with the shape and type that were given.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8" or not image.size:
        raise ValueError(
            f"{model} takes an RGB image of shape (H, W, 3) and type uint8, got {image.shape} {image.dtype}:"
            " fmbseg.images.load_image makes one"
        )
