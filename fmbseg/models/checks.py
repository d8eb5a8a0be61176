"""Checks that every model makes on the pixels it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def check_pixels(pixels: torch.Tensor, stride: int, model: str) -> None:
    """Refuse anything but a batch of RGB pixels whose sides are multiples of ``stride``.

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
    """Refuse anything but one RGB image.

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


def check_boxes(boxes: NDArray[np.float32], size: tuple[int, int]) -> None:
    """Refuse anything but a set of boxes within an image.

    Args:
        boxes: (N, 4), x0, y0, x1, y1 in pixels of the image, x1 and y1 just outside.
        size: height and width of the image in pixels.

    Raises:
        ValueError: the shape is another, or a box has no area, leaves the image or is not made of numbers.

    Example:
        >>> check_boxes(np.array([[10, 10, 30, 20], [5, 8, 5, 9]]), (40, 60))
        Traceback (most recent call last):
        ...
        ValueError: box 1, (x0, y0, x1, y1) = (5.0, 8.0, 5.0, 9.0), has no area: x0 < x1 and y0 < y1 must hold
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}: it must be (N, 4), x0, y0, x1, y1 each")
    height, width = size
    for index, box in enumerate(boxes.astype(np.float64)):
        named = f"box {index}, (x0, y0, x1, y1) = {tuple(box.tolist())},"
        if not (np.isfinite(box) & (box >= 0) & (box <= [width, height, width, height])).all():
            raise ValueError(
                f"{named} lies outside the image of {width} x {height} px (width x height): clip it first"
            )
        if not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError(f"{named} has no area: x0 < x1 and y0 < y1 must hold")
