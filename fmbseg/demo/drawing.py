"""Drawing on photographs: heat maps, class maps, masks with their names, points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Twenty colours that can be told apart on a photograph (after Sasha Trubetskoy's list), light enough for
# black text.
_COLOURS = np.array(
    [
        (255, 99, 99), (60, 200, 90), (255, 221, 51), (88, 140, 255), (255, 152, 56), (190, 90, 230),
        (80, 225, 240), (250, 80, 220), (190, 240, 70), (250, 190, 212), (30, 170, 160), (214, 186, 255),
        (190, 125, 60), (255, 246, 190), (205, 60, 85), (160, 255, 200), (160, 160, 50), (255, 205, 165),
        (70, 95, 200), (175, 175, 175),
    ],
    dtype=np.uint8,
)  # fmt: skip

# From black over purple and orange to pale yellow, as matplotlib's inferno goes.
_HEAT = np.array(
    [(0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
     (252, 255, 164)],
    dtype=np.float32,
)  # fmt: skip


def colours(count: int) -> NDArray[np.uint8]:
    """One colour a class, (count, 3); after twenty they come again."""
    return np.resize(_COLOURS, (count, 3))


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Make the longer side of an RGB image ``side`` pixels at most."""
    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small)


def fit_map(
    values: NDArray[np.generic], size: tuple[int, int], *, smooth: bool = False
) -> NDArray[np.generic]:
    """Resize a map (H, W) to ``size`` (height, width): bilinearly, or by the nearest pixel."""
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.asarray(values)).resize((size[1], size[0]), how))


def heat_map(image: NDArray[np.uint8], similarity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a similarity map (h, w) over a photograph in grey, from its least value to its greatest."""
    values = fit_map(similarity.astype(np.float32), image.shape[:2], smooth=True).astype(np.float32)
    share = (values - values.min()) / max(float(np.ptp(values)), 1e-9)
    place = share * (len(_HEAT) - 1)
    steps = np.arange(len(_HEAT))
    heat = np.stack([np.interp(place, steps, _HEAT[:, channel]) for channel in range(3)], axis=-1)
    grey = image.mean(axis=2, keepdims=True)
    mixed: NDArray[np.uint8] = np.rint(0.3 * grey + 0.7 * heat).astype(np.uint8)
    return mixed


def class_map(
    image: NDArray[np.uint8], labels: NDArray[np.int32], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Lay a class map (H, W), -1 for none, over a photograph; where there is no class it is dimmed."""
    small = fit_map(labels.astype(np.int32), image.shape[:2]).astype(np.int32)
    return np.where((small < 0)[..., None], _dimmed(image), _blend(image, palette[small], 0.6))


def masks_over(
    image: NDArray[np.uint8],
    masks: Sequence[NDArray[np.bool_]],
    colour: Sequence[NDArray[np.uint8]],
    filled: Sequence[bool],
) -> NDArray[np.uint8]:
    """Draw masks (H, W) one over the other on the dimmed photograph, filled or as outlines alone."""
    canvas = _dimmed(image)
    for mask, tint, fill in zip(masks, colour, filled, strict=True):
        small = fit_map(mask.astype(np.uint8), image.shape[:2]).astype(bool)
        if fill:
            canvas[small] = _blend(image, np.broadcast_to(tint, image.shape), 0.5)[small]
        canvas[_outline(small)] = tint
    return canvas


def dots(
    image: NDArray[np.uint8], points: NDArray[np.float32], scale: float, colour: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Draw query points (P, 2), in pixels of the photograph, on its picture ``scale`` times as large."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    radius = max(picture.width, picture.height) / 90
    for x, y in points * scale:
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=_rgb(colour), outline=(255, 255, 255), width=2)
    return np.asarray(picture)


def captions(
    image: NDArray[np.uint8], names: Sequence[tuple[str, tuple[float, float], NDArray[np.uint8]]]
) -> NDArray[np.uint8]:
    """Write names, each centred at (x, y) as a share of width and height, on a plate of its colour.

    A name that would cover one that comes before it is left out.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    size = max(round(max(image.shape) / 34), 11)
    font = ImageFont.load_default(size)
    plates: list[tuple[float, float, float, float]] = []
    for name, (x, y), colour in names:
        half_width, half_height = font.getlength(name) / 2 + size * 0.4, size * 0.75
        left = min(max(x * picture.width, half_width), picture.width - half_width)
        top = min(max(y * picture.height, half_height), picture.height - half_height)
        plate = (left - half_width, top - half_height, left + half_width, top + half_height)
        if any(_overlap(plate, other) for other in plates):
            continue
        plates.append(plate)
        draw.rounded_rectangle(plate, radius=size * 0.35, fill=_rgb(colour))
        draw.text((left, top), name, fill=(0, 0, 0), font=font, anchor="mm")
    return np.asarray(picture)


def inside(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """A place (x, y) on a mask, as shares of width and height: its pixel nearest to its centre of mass."""
    ys, xs = np.nonzero(mask)
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return float((xs[nearest] + 0.5) / mask.shape[1]), float((ys[nearest] + 0.5) / mask.shape[0])


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes (left, top, right, bottom) have a point in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _dimmed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photograph in pale grey tones, so that colours on it stand out."""
    grey = image.mean(axis=2, keepdims=True)
    pale: NDArray[np.uint8] = np.rint(0.25 * image + 0.35 * grey + 0.1 * 255).astype(np.uint8)
    return pale


def _blend(image: NDArray[np.uint8], tint: NDArray[np.uint8], alpha: float) -> NDArray[np.uint8]:
    mixed: NDArray[np.uint8] = np.rint((1 - alpha) * image.astype(np.float32) + alpha * tint).astype(np.uint8)
    return mixed


def _outline(mask: NDArray[np.bool_], width: int = 2) -> NDArray[np.bool_]:
    """The pixels of a mask that lie within ``width`` of its edge."""
    inner = np.pad(mask, width)
    for _ in range(width):
        inner = (
            inner
            & np.roll(inner, 1, 0)
            & np.roll(inner, -1, 0)
            & np.roll(inner, 1, 1)
            & np.roll(inner, -1, 1)
        )
    return mask & ~inner[width:-width, width:-width]


def _rgb(colour: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue
