"""Contact sheets: small pictures of labelled photographs, and of those that two label sets differ most in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.classes import classes_in, draw_classes
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.layout import in_rows, side_by_side
from fmbseg.drawing.legend import draw_caption, unknown_entry
from fmbseg.escaping import terminal
from fmbseg.images import load_image

if TYPE_CHECKING:
    from fmbseg.drawing.legend import Entry
    from fmbseg.drawing.palette import Colour
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.comparison import ComparedPhotograph, LabelComparison
    from fmbseg.labels.record import LabeledImage

_GAP = 8
_DIFFERENT: Colour = (255, 0, 0)


def contact_sheet(
    labels: LabelCollection, *, count: int = 24, columns: int = 4, side: int = 280, kept_only: bool = True
) -> Image.Image:
    """Draw photographs with their masks, spread evenly over the whole set, in order.

    Args:
        labels: a label set, or a collection derived from one.
        count: photographs at most.
        columns: pictures a row.
        side: length of a picture's longer side, in pixels.
        kept_only: leave out masks that were not drawn for training.

    Returns:
        RGB. Below each picture are its name and, in their colours, its classes, largest first,
        and the share that is unknown, which is hatched.

    Raises:
        ValueError: a number below 1 (40 for ``side``), or no photograph at all.
        PhotographError: a photograph is missing, or was changed since it was labelled.
        ImageError: a photograph cannot be read.
    """
    for name, value, least in (("count", count, 1), ("columns", columns, 1), ("side", side, 40)):
        if value < least:
            raise ValueError(f"{name} is {value}: it must be {least} or more")
    if not len(labels):
        raise ValueError("there is no labelled photograph to show")
    shown = min(count, len(labels))
    wanted = iter(np.linspace(0, len(labels) - 1, shown).round().astype(int).tolist())
    cells: list[Image.Image] = []
    position, run = next(wanted), ClassColours()
    for index, image in enumerate(labels):
        if index == position:
            cells.append(_cell(labels, image, side, run, kept_only=kept_only))
            position = next(wanted, -1)
    return in_rows(cells, columns, _GAP)


def _cell(
    labels: LabelCollection, image: LabeledImage, side: int, run: ClassColours, *, kept_only: bool
) -> Image.Image:
    """One photograph with its caption, ``side`` pixels wide."""
    names, classes = labels.vocabulary.names, image.label_map(kept_only=kept_only)
    photograph = load_image(labels.photograph_of(image))
    colours = run.of_map(classes)
    picture = draw_classes(classes, colours, photograph, max_side=side, unknown=classes < 0)
    shown: list[Entry] = [(one.name, one.colour) for one in classes_in(classes, names, colours)]
    shown += unknown_entry(float((classes < 0).mean()))
    return _above(_centred(picture, (side, side)), draw_caption(terminal(image.path), shown, side))


def comparison_sheet(comparison: LabelComparison, first: LabelCollection, *, side: int = 280) -> Image.Image:
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
    return _above(drawn, caption)


def _above(picture: Image.Image, caption: Image.Image) -> Image.Image:
    """A picture and the caption under it."""
    both = Image.new("RGB", (picture.width, picture.height + caption.height), "white")
    both.paste(picture, (0, 0))
    both.paste(caption, (0, picture.height))
    return both


def _centred(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture in the middle of a white one of ``size``, width and height."""
    cell = Image.new("RGB", size, "white")
    cell.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return cell
