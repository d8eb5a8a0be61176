"""Class maps as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from fmbseg.drawing.colours import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.drawing.palette import Colour

_ALPHA = 0.55
_HATCH, _HATCH_ALPHA = 12, 0.65


class ShownClass(NamedTuple):
    """A class that a map shows.

    Attributes:
        name: of the class.
        colour: the colour it is drawn in.
        share: of all pixels that it covers, from 0 to 1.
    """

    name: str
    colour: Colour
    share: float


def classes_in(
    labels: NDArray[np.integer], names: Sequence[str], colours: Mapping[int, Colour]
) -> list[ShownClass]:
    """The classes of a map, (H, W) with -1 for none, largest first.

    Example:
        >>> colours = {0: (255, 0, 0), 1: (0, 255, 255)}
        >>> [shown.name for shown in classes_in(np.array([[1, 1, 0, -1]]), ["cat", "dog", "cow"], colours)]
        ['dog', 'cat']
    """
    areas = np.bincount(labels.ravel() + 1, minlength=len(names) + 1)[1:]
    order = np.argsort(-areas, kind="stable").tolist()
    return [
        ShownClass(names[index], colours[index], float(areas[index] / labels.size))
        for index in order
        if areas[index]
    ]


def colorize(labels: NDArray[np.integer], colours: Mapping[int, Colour]) -> NDArray[np.uint8]:
    """Paint a class map.

    Args:
        labels: (H, W), -1 for no class.
        colours: of the classes.

    Returns:
        RGB, uint8, (H, W, 3); black where there is no class.
    """
    painted: NDArray[np.uint8] = table(colours)[labels]
    return painted


def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.integer],
    colours: Mapping[int, Colour],
    alpha: float = _ALPHA,
    *,
    dim: bool = False,
) -> NDArray[np.uint8]:
    """Lay the classes' colours over a photograph.

    Args:
        image: RGB, uint8, (H, W, 3).
        labels: (H, W), -1 for no class.
        colours: of the classes.
        alpha: share of the colour, from 0 to 1.
        dim: whether to draw the photograph pale where there is no class; otherwise it is unchanged.

    Raises:
        ValueError: sizes that differ, or ``alpha`` outside [0, 1].
    """
    if image.shape != (*labels.shape, 3):
        raise ValueError(f"image {image.shape} and labels {labels.shape} must have the same height and width")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}: it must be a share from 0 to 1")
    rest = dimmed(image) if dim else image
    return np.where(labels[:, :, None] < 0, rest, blend(image, colorize(labels, colours), alpha))


def draw_classes(
    labels: NDArray[np.integer],
    colours: Mapping[int, Colour],
    image: NDArray[np.uint8] | None = None,
    *,
    max_side: int | None = None,
    dim: bool = False,
    unknown: NDArray[np.bool_] | None = None,
) -> Image.Image:
    """Draw a class map over its photograph.

    Args:
        labels: (H, W), -1 for no class.
        colours: of the classes.
        image: RGB, uint8, (H, W, 3); without it only the map is drawn, on black.
        max_side: longest allowed side of the picture in pixels; larger ones are shrunk.
        dim: whether to draw the photograph pale where there is no class.
        unknown: (H, W), what is hatched: where nothing is known, but for slivers.

    Raises:
        ValueError: sizes that differ.
    """
    size = shrunk_size(labels.shape, max_side)
    small = fit_labels(labels, size)
    if image is None:
        drawn = colorize(small, colours)
    else:
        drawn = overlay(shrink(image, max_side), small, colours, dim=dim)
    if unknown is not None:
        drawn = hatched(drawn, _without_slivers(fit_labels(unknown, size) > 0))
    return Image.fromarray(drawn)


def hatched(picture: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw slanting lines, pale and dark side by side, over a part of a picture.

    Args:
        picture: RGB, uint8, (H, W, 3).
        where: (H, W), the part.

    Example:
        >>> black = np.zeros((1, 12, 3), dtype=np.uint8)
        >>> hatched(black, np.ones((1, 12), dtype=bool))[0, :, 0].tolist()
        [166, 166, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """
    rows, columns = np.indices(where.shape)
    place = (rows + columns) % _HATCH
    light, dark = (where & np.isin(place, one) for one in ((0, 1), (2, 3)))
    drawn = picture.copy()
    drawn[light] = blend(picture, (255, 255, 255), _HATCH_ALPHA)[light]
    drawn[dark] = blend(picture, (0, 0, 0), _HATCH_ALPHA)[dark]
    return drawn


def _without_slivers(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A region without what is thinner than three pixels, which along masks' edges would look like dirt."""
    opened = Image.fromarray(where.astype(np.uint8)).filter(ImageFilter.MinFilter(3))
    return np.asarray(opened.filter(ImageFilter.MaxFilter(3))) > 0


def shrunk_size(shape: tuple[int, ...], max_side: int | None) -> tuple[int, int]:
    """Height and width of a picture shrunk so that neither exceeds ``max_side`` pixels; it never grows.

    Example:
        >>> shrunk_size((300, 600), 200), shrunk_size((30, 60), 200)
        ((100, 200), (30, 60))
    """
    height, width = shape[:2]
    scale = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def shrink(image: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """Shrink an RGB image (H, W, 3) so that neither side is longer than ``max_side`` pixels."""
    height, width = shrunk_size(image.shape, max_side)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def fit_labels(labels: NDArray[np.integer] | NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.int32]:
    """Resize a class map or a mask (H, W) to ``size`` (height, width)."""
    # By the nearest pixel: a mean of class numbers is a third class.
    whole = Image.fromarray(labels.astype(np.int32))
    return np.asarray(whole.resize((size[1], size[0]), Image.Resampling.NEAREST))


def dimmed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photograph (H, W, 3) in pale grey tones, so that colours on it stand out."""
    grey = image.mean(axis=2, keepdims=True)
    pale: NDArray[np.uint8] = np.rint(0.25 * image + 0.35 * grey + 0.1 * 255).astype(np.uint8)
    return pale


def blend(image: NDArray[np.uint8], tint: NDArray[np.uint8] | Colour, alpha: float) -> NDArray[np.uint8]:
    """Mix a colour, or an image of colours (H, W, 3), into an image with the share ``alpha``."""
    mixed: NDArray[np.uint8] = np.rint(
        (1 - alpha) * image.astype(np.float32) + alpha * np.asarray(tint, dtype=np.float32)
    ).astype(np.uint8)
    return mixed
