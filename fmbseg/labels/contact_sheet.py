"""A contact sheet: small pictures of labelled photographs with their masks and the classes' names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fmbseg.images import load_image
from fmbseg.palette import distinct_colours, overlay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage

_FONT = 13
_LINE = 18
_GAP = 8


def contact_sheet(
    labels: LabelCollection, *, count: int = 24, columns: int = 4, side: int = 280, kept_only: bool = True
) -> Image.Image:
    """Draw photographs with their masks, evenly spread over the whole set, in its order.

    Args:
        labels: a label set, or what was made of one.
        count: photographs at most.
        columns: pictures a row.
        side: of a picture's longer side, in pixels.
        kept_only: leave out masks that were not drawn for training.

    Returns:
        RGB. Under each picture stand its name and, in their colours, its classes, largest first.

    Raises:
        ValueError: a number below 1 (40 for ``side``), or no photograph at all.
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
    position = next(wanted)
    for index, image in enumerate(labels):
        if index == position:
            cells.append(_cell(labels, image, side, kept_only=kept_only))
            position = next(wanted, -1)
    return _grid(cells, min(columns, shown), side)


def _cell(labels: LabelCollection, image: LabeledImage, side: int, *, kept_only: bool) -> Image.Image:
    """One photograph with what stands under it, ``side`` pixels wide."""
    names = labels.vocabulary.names
    painted = image.label_map(kept_only=kept_only)
    scale = min(side / max(image.size), 1.0)
    height, width = (max(1, round(length * scale)) for length in image.size)
    photograph = Image.fromarray(load_image(labels.image_path(image)))
    small = np.asarray(photograph.resize((width, height), Image.Resampling.LANCZOS))
    # Nearest for the labels: a mean of class numbers is a third class.
    classes = np.asarray(Image.fromarray(painted).resize((width, height), Image.Resampling.NEAREST))
    found, areas = np.unique(painted[painted >= 0], return_counts=True)
    order = [int(index) for index in found[np.argsort(-areas, kind="stable")]]
    colours = distinct_colours(len(names))
    entries = [
        (names[index], (int(r), int(g), int(b)))
        for index, (r, g, b) in zip(order, colours[order], strict=True)
    ]
    caption = _caption(image.path, entries, side)
    cell = Image.new("RGB", (side, side + caption.height), "white")
    cell.paste(
        Image.fromarray(overlay(small, classes, len(names))), ((side - width) // 2, (side - height) // 2)
    )
    cell.paste(caption, (0, side))
    return cell


def _caption(path: str, entries: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> Image.Image:
    """A photograph's name, and its classes with their colours on as many lines as they take."""
    font = ImageFont.load_default(_FONT)
    places: list[tuple[int, int]] = []
    left, line = 0, 1
    for name, _ in entries:
        needed = round(font.getlength(name)) + 2 * _LINE
        if left and left + needed > width:
            left, line = 0, line + 1
        places.append((left, line))
        left += needed
    caption = Image.new("RGB", (width, (line + 1 if entries else 1) * _LINE), "white")
    draw = ImageDraw.Draw(caption)
    draw.text((0, 2), _shortened(path, font, width), fill="black", font=font)
    for (name, colour), (x, row) in zip(entries, places, strict=True):
        y = row * _LINE
        draw.rectangle((x, y + 3, x + _FONT, y + 3 + _FONT), fill=colour, outline=(60, 60, 60))
        draw.text((x + _LINE, y + 2), _shortened(name, font, width - _LINE), fill="black", font=font)
    return caption


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The end of a text that is too long for a line."""
    while font.getlength(text) > width:
        text = "…" + text[2:]
    return text


def _grid(cells: Sequence[Image.Image], columns: int, side: int) -> Image.Image:
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, sum(heights) + _GAP), "white")
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP + column * (side + _GAP), top))
        top += height
    return sheet
