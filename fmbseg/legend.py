"""A legend of coloured squares with names, drawn with the font that comes with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[int, int, int]

_SMALLEST_FONT, _LARGEST_FONT = 12, 28
_FEWEST_ROWS = 8
_LONGEST_NAME = 40
_WHITE: Colour = (255, 255, 255)


def draw_legend(entries: Sequence[tuple[str, Colour]], height: int, columns: int = 4) -> Image.Image:
    """Draw one row an entry, in as many columns as it takes, up to a few.

    Args:
        entries: names with their colours, in the order in which they are shown; long names are cut.
        height: of the picture beside which the legend will stand, in pixels; text is sized to it.
        columns: at most; the last row then tells how many names are left out.

    Returns:
        RGB on white, about ``height`` tall; taller where ``height`` leaves no room for a few rows.
    """
    size = min(max(height // 24, _SMALLEST_FONT), _LARGEST_FONT)
    font = ImageFont.load_default(size)
    row, margin = size * 3 // 2, size // 2
    rows = max((height - 2 * margin) // row, _FEWEST_ROWS)
    shown = _shown(entries, rows * columns)
    cut = [shown[start : start + rows] for start in range(0, len(shown), rows)]
    widths = [_column_width(column, font, size) for column in cut]
    tallest = max((len(column) for column in cut), default=0)
    canvas = Image.new("RGB", (sum(widths) + margin, max(height, tallest * row + 2 * margin)), "white")
    draw = ImageDraw.Draw(canvas)
    left = margin
    for column, width in zip(cut, widths, strict=True):
        for position, (name, colour) in enumerate(column):
            top = margin + position * row
            if colour != _WHITE:
                draw.rectangle((left, top, left + size, top + size), fill=colour, outline=(60, 60, 60))
            draw.text((left + 3 * size // 2, top + size / 2), name, fill="black", font=font, anchor="lm")
        left += width
    return canvas


def _shown(entries: Sequence[tuple[str, Colour]], most: int) -> list[tuple[str, Colour]]:
    """The entries that have room, with a word on how many have none."""
    left_out = len(entries) - most + 1 if len(entries) > most else 0
    cut = [
        (name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3].rstrip()}...", colour)
        for name, colour in entries[: len(entries) - left_out]
    ]
    return [*cut, (f"and {left_out} more", _WHITE)] if left_out else cut


def _column_width(
    column: Sequence[tuple[str, Colour]], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, size: int
) -> int:
    longest = max(font.getlength(name) for name, _ in column)
    return round(longest) + 5 * size // 2
