"""Coloured squares with names, beside or below a picture, in the font that comes with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fmbseg.drawing.classes import hatched
from fmbseg.escaping import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.drawing.palette import Colour

    Entry = tuple[str, Colour | None]
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SMALLEST_FONT, _LARGEST_FONT = 12, 28
_FEWEST_ROWS = 8
_LONGEST_NAME = 40
_CAPTION_FONT, _CAPTION_LINE = 13, 18
NO_COLOUR: Colour = (255, 255, 255)
"""Of an entry without a square, which in white would not be visible."""
_EDGE: Colour = (60, 60, 60)
_GREY = 150
_LEAST_UNKNOWN = 0.005


def unknown_entry(share: float) -> list[Entry]:
    """The entry of what is hatched in a picture, a share of it from 0 to 1; none if hardly anything is.

    Example:
        >>> unknown_entry(0.425), unknown_entry(0.004)
        ([('unknown 42%', None)], [])
    """
    return [(f"unknown {share:.0%}", None)] if share >= _LEAST_UNKNOWN else []


def draw_legend(entries: Sequence[Entry], height: int, columns: int = 4) -> Image.Image:
    """Draw a legend to stand beside a picture.

    Args:
        entries: names with their colours, None for what is hatched, in the order in which they are shown;
            long names are cut.
        height: of the picture, in pixels; the text size follows from it.
        columns: at most this many; the last row then says how many names are left out.

    Returns:
        RGB on white, about ``height`` tall; taller where ``height`` leaves no room for a few rows.
    """
    size = min(max(height // 24, _SMALLEST_FONT), _LARGEST_FONT)
    font = ImageFont.load_default(size)
    row, margin = size * 3 // 2, size // 2
    rows = max((height - 2 * margin) // row, _FEWEST_ROWS)
    shown = _shown(entries, rows * columns)
    cut = [shown[start : start + rows] for start in range(0, len(shown), rows)]
    widths = [round(max(font.getlength(name) for name, _ in column)) + 5 * size // 2 for column in cut]
    tallest = max((len(column) for column in cut), default=0)
    canvas = Image.new("RGB", (sum(widths) + margin, max(height, tallest * row + 2 * margin)), "white")
    left = margin
    for column, width in zip(cut, widths, strict=True):
        for position, entry in enumerate(column):
            _entry(canvas, (left, margin + position * row), entry, font, size)
        left += width
    return canvas


def draw_caption(title: str, entries: Sequence[Entry], width: int) -> Image.Image:
    """Draw a caption to stand below a picture.

    Args:
        title: on the first line.
        entries: names with their colours, None for what is hatched, on as many lines as needed.
        width: of the picture, in pixels; longer texts lose their beginning.

    Returns:
        RGB on white, ``width`` wide.
    """
    font = ImageFont.load_default(_CAPTION_FONT)
    places: list[tuple[int, int]] = []
    names = [_end_of(terminal(name), font, width - _CAPTION_LINE) for name, _ in entries]
    left, line = 0, 1
    for name in names:
        needed = round(font.getlength(name)) + 2 * _CAPTION_LINE
        if left and left + needed > width:
            left, line = 0, line + 1
        places.append((left, line * _CAPTION_LINE + 3))
        left += needed
    canvas = Image.new("RGB", (width, (line + 1 if names else 1) * _CAPTION_LINE), "white")
    ImageDraw.Draw(canvas).text((0, 2), _end_of(terminal(title), font, width), fill="black", font=font)
    for name, place, (_, colour) in zip(names, places, entries, strict=True):
        _entry(canvas, place, (name, colour), font, _CAPTION_FONT)
    return canvas


def _entry(canvas: Image.Image, place: tuple[int, int], entry: Entry, font: Font, size: int) -> None:
    """A square with its name to the right; no square for white, which would not be visible."""
    (left, top), (name, colour), draw = place, entry, ImageDraw.Draw(canvas)
    box = (left, top, left + size, top + size)
    if colour is None:
        grey = np.full((size, size, 3), _GREY, dtype=np.uint8)
        square = hatched(grey, np.ones((size, size), dtype=bool))
        canvas.paste(Image.fromarray(square), (left, top))
        draw.rectangle(box, outline=_EDGE)
    elif colour != NO_COLOUR:
        draw.rectangle(box, fill=colour, outline=_EDGE)
    draw.text((left + 3 * size // 2, top + size / 2), name, fill="black", font=font, anchor="lm")


def _shown(entries: Sequence[Entry], most: int) -> list[Entry]:
    """The entries that fit, with a note of how many do not."""
    left_out = len(entries) - most + 1 if len(entries) > most else 0
    names = [(terminal(name), colour) for name, colour in entries[: len(entries) - left_out]]
    cut = [
        (name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3].rstrip()}...", colour)
        for name, colour in names
    ]
    return [*cut, (f"and {left_out} more", NO_COLOUR)] if left_out else cut


def _end_of(text: str, font: Font, width: int) -> str:
    """A text cut to fit a line; of one that is too long, the end is kept."""
    end = text if len(text) <= width else f"…{text[-width:]}"  # no letter is narrower than a pixel
    while font.getlength(end) > width and len(end) > 1:
        end = f"…{end[2:]}"
    return end
