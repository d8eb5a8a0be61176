"""Pictures of a quantity, and pictures beside one another."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fmbseg.heatmap import draw_heatmap, side_by_side


def test_dark_to_bright() -> None:
    picture = draw_heatmap(np.linspace(-3, 5, 50)[None])
    brightness = np.asarray(picture.convert("L"))[0].astype(int)
    assert (np.diff(brightness) >= 0).all()
    assert picture.getpixel((0, 0)) == (68, 1, 84)
    assert picture.getpixel((49, 0)) == (253, 231, 37)


def test_limits_and_a_map_of_one_value() -> None:
    assert draw_heatmap(np.array([[2.0, 9.0]]), limits=(0, 2)).getpixel((0, 0)) == (253, 231, 37)
    assert draw_heatmap(np.ones((2, 2))).getpixel((0, 0)) == (68, 1, 84)
    with pytest.raises(ValueError, match="got 2 and 1"):
        draw_heatmap(np.ones((2, 2)), limits=(2, 1))


def test_the_image_shows_through() -> None:
    image = np.array([[[0, 0, 0], [200, 200, 200]]], np.uint8)
    left, right = np.asarray(draw_heatmap(np.ones((1, 2)), image))[0].astype(int)
    assert (right - left).tolist() == [70, 70, 70]


def test_beside_one_another_on_white() -> None:
    joined = side_by_side([Image.new("RGB", (2, 3), "red"), Image.new("RGB", (1, 1), "blue")])
    assert joined.size == (3, 3)
    assert joined.getpixel((2, 0)) == (0, 0, 255)
    assert joined.getpixel((2, 2)) == (255, 255, 255)
