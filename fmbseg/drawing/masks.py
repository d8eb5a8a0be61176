"""Masks on a photograph, with their points and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fmbseg.drawing.classes import blend, dimmed
from fmbseg.escaping import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fmbseg.drawing.palette import Colour

_WHITE: Colour = (255, 255, 255)


def draw_masks(
    image: NDArray[np.uint8],
    masks: Sequence[NDArray[np.bool_]],
    colours: Sequence[Colour],
    filled: Sequence[bool],
) -> NDArray[np.uint8]:
    """Draw masks over one another on the dimmed photograph.

    Args:
        image: RGB, uint8, (H, W, 3).
        masks: (H, W) each, bottom first.
        colours: one per mask.
        filled: whether each is filled or only outlined.
    """
    canvas = dimmed(image)
    for mask, colour, fill in zip(masks, colours, filled, strict=True):
        if fill:
            canvas[mask] = blend(image[mask], colour, 0.5)
        canvas[_outline(mask)] = colour
    return canvas


def draw_points(
    image: NDArray[np.uint8], points: Iterable[Sequence[float]], colour: Colour
) -> NDArray[np.uint8]:
    """Draw points (x, y), in pixels of the image, as discs."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    radius = max(picture.size) / 90
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=_WHITE, width=2)
    return np.asarray(picture)


def draw_names(
    image: NDArray[np.uint8], names: Iterable[tuple[str, tuple[float, float], Colour]]
) -> NDArray[np.uint8]:
    """Write names on plates in their colours.

    Args:
        image: RGB, uint8, (H, W, 3).
        names: each with its centre (x, y) in pixels and its colour. One that would cover an earlier name
            is left out.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    size = max(round(max(picture.size) / 34), 11)
    font = ImageFont.load_default(size)
    plates: list[tuple[float, float, float, float]] = []
    for name, (x, y), colour in names:
        shown = terminal(name)
        half_width, half_height = font.getlength(shown) / 2 + size * 0.4, size * 0.75
        left = min(max(x, half_width), picture.width - half_width)
        top = min(max(y, half_height), picture.height - half_height)
        plate = (left - half_width, top - half_height, left + half_width, top + half_height)
        if any(_overlap(plate, other) for other in plates):
            continue
        plates.append(plate)
        draw.rounded_rectangle(plate, radius=size * 0.35, fill=colour)
        draw.text((left, top), shown, fill=_readable_on(colour), font=font, anchor="mm")
    return np.asarray(picture)


def centre_on(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The pixel (x, y) of a mask that is nearest to its centre of mass.

    Example:
        >>> centre_on(np.array([[True, True, False, True, True]]))
        (1.0, 0.0)
    """
    ys, xs = np.nonzero(mask)
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return float(xs[nearest]), float(ys[nearest])


def _readable_on(colour: Colour) -> Colour:
    """Black or white, whichever has the greater contrast on a colour (WCAG 2's relative luminance)."""
    linear = [(part / 255) ** 2.2 for part in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else _WHITE


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes (left, top, right, bottom) have a point in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _outline(mask: NDArray[np.bool_], width: int = 2) -> NDArray[np.bool_]:
    """The pixels of a mask that lie within ``width`` of its edge."""
    inner = np.pad(mask, width)
    for _ in range(width):
        neighbours = [np.roll(inner, step, axis) for step in (1, -1) for axis in (0, 1)]
        inner = np.logical_and.reduce([inner, *neighbours])
    return mask & ~inner[width:-width, width:-width]
