"""A contact sheet of the photographs that two label sets differ most in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.classes import classes_in, draw_classes
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.layout import in_rows, side_by_side
from fmbseg.drawing.legend import draw_caption
from fmbseg.escaping import terminal
from fmbseg.images import load_image

if TYPE_CHECKING:
    from fmbseg.drawing.palette import Colour
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.comparison import ComparedPhotograph, Comparison

_GAP = 8
_DIFFERENT: Colour = (255, 0, 0)


def comparison_sheet(comparison: Comparison, first: LabelCollection, *, side: int = 280) -> Image.Image:
    """Draw the most different photographs: the first set's labels, the second's, and where they differ.

    Args:
        comparison: that :func:`~fmbseg.labels.comparison.compare` made.
        first: the first of the sets, which finds the photographs.
        side: of a picture's longer side, in pixels.

    Returns:
        RGB, a row a photograph. Under it stand its name, its agreement and, in their colours, the classes.

    Raises:
        ValueError: a ``side`` below 40, or no photograph differs.
        PhotographError: a photograph is not there, or was changed since it was labelled.
        ImageError: a photograph cannot be read.
    """
    if side < 40:
        raise ValueError(f"side is {side}: it must be 40 or more")
    if not comparison.most_different:
        raise ValueError("the label sets do not differ in any photograph: there is none to show")
    colours = ClassColours()
    rows = [_row(one, comparison.names, first, side, colours) for one in comparison.most_different]
    return in_rows(rows, 1, _GAP)


def _row(
    one: ComparedPhotograph, names: tuple[str, ...], first: LabelCollection, side: int, run: ClassColours
) -> Image.Image:
    image = load_image(first.photograph_of(one.first))
    here, there = one.maps()
    colours = run.of_map(here, there)
    differs = np.where(here == there, np.int32(-1), np.int32(0))
    pictures = [
        *(draw_classes(one, colours, image, max_side=side, unknown=one < 0) for one in (here, there)),
        draw_classes(differs, {0: _DIFFERENT}, image, max_side=side, dim=True),
    ]
    tall = max(picture.height for picture in pictures)
    drawn = side_by_side([_centred(picture, (side, tall)) for picture in pictures], _GAP)
    shown = [(each.name, each.colour) for each in classes_in(np.stack((here, there), axis=2), names, colours)]
    caption = draw_caption(f"{terminal(one.first.path)}: {one.agreement:.1%} agree", shown, drawn.width)
    row = Image.new("RGB", (drawn.width, drawn.height + caption.height), "white")
    row.paste(drawn, (0, 0))
    row.paste(caption, (0, drawn.height))
    return row


def _centred(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture in the middle of a white one of ``size``, width and height."""
    cell = Image.new("RGB", size, "white")
    cell.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return cell
