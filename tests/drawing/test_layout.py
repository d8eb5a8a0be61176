"""Pictures beside and below one another."""

from __future__ import annotations

from PIL import Image

from fmbseg.drawing.layout import in_rows, side_by_side


def test_beside_one_another_on_white() -> None:
    joined = side_by_side([Image.new("RGB", (2, 3), "red"), Image.new("RGB", (1, 1), "blue")])
    assert joined.size == (3, 3)
    assert joined.getpixel((2, 0)) == (0, 0, 255)
    assert joined.getpixel((2, 2)) == (255, 255, 255)


def test_in_rows_with_gaps() -> None:
    pictures = [
        Image.new("RGB", (4, height), colour) for height, colour in ((2, "red"), (3, "blue"), (1, "lime"))
    ]
    sheet = in_rows(pictures, columns=2, gap=1)
    assert sheet.size == (11, 7)  # 1 + 4 + 1 + 4 + 1 wide; 1 + 3 + 1 + 1 + 1 tall
    assert sheet.getpixel((1, 1)) == (255, 0, 0)
    assert sheet.getpixel((6, 3)) == (0, 0, 255)
    assert sheet.getpixel((1, 5)) == (0, 255, 0)
    assert sheet.getpixel((6, 5)) == (255, 255, 255)
