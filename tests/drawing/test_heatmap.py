"""Pictures of a quantity."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.drawing.heatmap import draw_heatmap


def test_dark_to_bright() -> None:
    picture = draw_heatmap(np.linspace(-3, 5, 50)[None])
    brightness = np.asarray(picture.convert("L"))[0].astype(int)
    assert (np.diff(brightness) >= 0).all()
    assert picture.getpixel((0, 0)) == (68, 1, 84)
    assert picture.getpixel((49, 0)) == (253, 231, 37)


def test_limits_and_a_map_of_one_value() -> None:
    assert draw_heatmap(np.array([[2.0, 9.0]]), limits=(0, 2)).getpixel((0, 0)) == (253, 231, 37)
    assert draw_heatmap(np.ones((2, 2))).getpixel((0, 0)) == (68, 1, 84)
    with pytest.raises(ValueError, match=r"limits is \(2, 1\): it must be"):
        draw_heatmap(np.ones((2, 2)), limits=(2, 1))


def test_the_image_shows_through() -> None:
    image = np.array([[[0, 0, 0], [200, 200, 200]]], np.uint8)
    left, right = np.asarray(draw_heatmap(np.ones((1, 2)), image))[0].astype(int)
    assert (right - left).tolist() == [70, 70, 70]


def test_of_the_image_only_its_brightness_shows() -> None:
    coloured = np.array([[[255, 0, 0], [0, 255, 0], [85, 85, 85]]], np.uint8)
    drawn = np.asarray(draw_heatmap(np.ones((1, 3)), coloured))
    assert drawn[0, 0].tolist() == drawn[0, 1].tolist() == drawn[0, 2].tolist()


def test_a_smaller_map_is_stretched_over_the_image() -> None:
    image = np.full((40, 60, 3), 128, dtype=np.uint8)
    picture = draw_heatmap(np.array([[0.1, 0.2, 0.9]], dtype=np.float32), image)
    brightness = np.asarray(picture).astype(int).sum(axis=2)[20]
    assert picture.size == (60, 40)
    assert brightness[0] < brightness[30] < brightness[-1]
