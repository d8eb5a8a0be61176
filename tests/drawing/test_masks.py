"""Masks, points and names, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.drawing.masks import centre_on, draw_masks, draw_names, draw_points

GREY = np.full((40, 60, 3), 128, dtype=np.uint8)
LARGE = np.full((300, 600, 3), 128, dtype=np.uint8)
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def test_a_mask_that_was_not_drawn_is_an_outline() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 10:30] = True
    filled = draw_masks(GREY, [mask], [RED], [True])
    outlined = draw_masks(GREY, [mask], [RED], [False])
    for picture in (filled, outlined):
        assert picture[10, 10].tolist() == picture[29, 29].tolist() == [255, 0, 0]
        assert picture[11, 11].tolist() == [255, 0, 0]
        assert picture[9, 9].tolist() == [102, 102, 102]  # 0.6 x 128 + 0.1 x 255
    assert filled[20, 20].tolist() == [192, 64, 64]
    assert outlined[20, 20].tolist() == [102, 102, 102]


def test_points_are_drawn_where_they_are() -> None:
    picture = draw_points(LARGE, [(400.0, 100.0)], (0, 255, 0))
    assert picture[100, 400].tolist() == [0, 255, 0]
    assert picture[200, 100].tolist() == [128, 128, 128]


def test_a_name_never_covers_one_before_it() -> None:
    once = draw_names(LARGE, [("cat", (300, 150), RED)])
    twice = draw_names(LARGE, [("cat", (300, 150), RED), ("dog", (306, 150), BLUE)])
    apart = draw_names(LARGE, [("cat", (300, 150), RED), ("dog", (60, 30), BLUE)])
    np.testing.assert_array_equal(once, twice)
    assert (apart == BLUE).all(axis=2).any()


@pytest.mark.parametrize("place", [(0.0, 0.0), (600.0, 300.0)])
def test_a_name_stays_inside_the_picture(place: tuple[float, float]) -> None:
    inner = draw_names(LARGE, [("motorcycle", (300, 150), RED)])
    corner = draw_names(LARGE, [("motorcycle", place, RED)])
    reds = [(picture == RED).all(axis=2).sum() for picture in (inner, corner)]
    assert abs(int(reds[0]) - int(reds[1])) < 0.1 * reds[0]


def test_a_name_is_black_on_light_and_white_on_dark_colours() -> None:
    light = draw_names(LARGE, [("cat", (300, 150), (255, 230, 100))])
    dark = draw_names(LARGE, [("cat", (300, 150), BLUE)])
    assert (light == 0).all(axis=2).any()
    assert not (light == WHITE).all(axis=2).any()
    assert (dark == WHITE).all(axis=2).any()
    assert not (dark == 0).all(axis=2).any()


def test_a_name_with_a_line_feed_is_written_on_one_line() -> None:
    plain = draw_names(LARGE, [(r"cat\ndog", (300, 150), RED)])
    np.testing.assert_array_equal(draw_names(LARGE, [("cat\ndog", (300, 150), RED)]), plain)


def test_the_place_of_a_name_is_on_its_mask() -> None:
    ring = np.zeros((20, 20), dtype=bool)
    ring[2:18, 2:18] = True
    ring[6:14, 6:14] = False  # its centre of mass is not on it
    x, y = centre_on(ring)
    assert ring[int(y), int(x)]
