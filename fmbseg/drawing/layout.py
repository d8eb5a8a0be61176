"""Arranging pictures beside and below one another, on white."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence


def side_by_side(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Join pictures left to right, ``gap`` pixels apart.

    Example:
        >>> side_by_side([Image.new("RGB", (2, 3)), Image.new("RGB", (4, 1))]).size
        (6, 3)
    """
    width = sum(one.width for one in pictures) + gap * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(one.height for one in pictures)), "white")
    left = 0
    for one in pictures:
        joined.paste(one, (left, 0))
        left += one.width + gap
    return joined


def in_rows(pictures: Sequence[Image.Image], columns: int, gap: int) -> Image.Image:
    """Arrange pictures of equal width in rows, ``gap`` pixels from one another and from the edges.

    Example:
        >>> in_rows([Image.new("RGB", (10, 5))] * 3, columns=2, gap=1).size
        (23, 13)
    """
    rows = [
        side_by_side(pictures[start : start + columns], gap) for start in range(0, len(pictures), columns)
    ]
    size = (max(row.width for row in rows) + 2 * gap, sum(row.height + gap for row in rows) + gap)
    sheet = Image.new("RGB", size, "white")
    top = gap
    for row in rows:
        sheet.paste(row, (gap, top))
        top += row.height + gap
    return sheet
