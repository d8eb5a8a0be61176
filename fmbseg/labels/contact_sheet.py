"""A contact sheet: small pictures of labelled photographs with their masks and the classes' names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.classes import classes_in, draw_classes
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.layout import in_rows
from fmbseg.drawing.legend import draw_caption, unknown_entry
from fmbseg.escaping import terminal
from fmbseg.images import load_image

if TYPE_CHECKING:
    from fmbseg.drawing.legend import Entry
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage

_GAP = 8


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
    if (classes < 0).any():
        shown.append(unknown_entry(float((classes < 0).mean())))
    caption = draw_caption(terminal(image.path), shown, side)
    cell = Image.new("RGB", (side, side + caption.height), "white")
    cell.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    cell.paste(caption, (0, side))
    return cell
