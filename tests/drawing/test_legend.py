"""Legends beside a picture and captions below it."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.drawing.legend import draw_caption, draw_legend
from fmbseg.drawing.palette import palette


def test_legend_shows_every_colour_and_grows_in_columns() -> None:
    entries = [(f"class {index}", tuple(colour)) for index, colour in enumerate(palette(40).tolist())]
    legend = draw_legend(entries, height=240)
    shown = {tuple(colour) for colour in np.asarray(legend).reshape(-1, 3).tolist()}
    assert {colour for _, colour in entries} <= shown
    assert legend.height == 240
    assert legend.width > draw_legend(entries[:5], height=240).width * 2


def test_legend_of_very_many_and_of_endless_names_stays_narrow() -> None:
    entries = [("x" * 2000, (255, 0, 0)), *[(f"class {index}", (0, 255, 0)) for index in range(500)]]
    legend = draw_legend(entries, height=240, columns=3)
    assert legend.width < 3 * 45 * 12
    # Three columns of twelve rows: 35 names, and the last row says how many more there are.
    alone = draw_legend([*entries[:35], ("and 466 more", (255, 255, 255))], height=240, columns=3)
    assert np.array_equal(np.asarray(legend), np.asarray(alone))


def test_legend_beside_a_tiny_image_is_still_whole() -> None:
    entries = [("one", (255, 0, 0)), ("two", (0, 255, 0))]
    legend = draw_legend(entries, height=1)
    assert legend.height > 24
    assert draw_legend([], height=30).height == 30


@pytest.mark.parametrize("name", ["two\nlines", "a\tb", "\x1b[31mred", "\udcff"])
def test_control_characters_in_names_are_shown(name: str) -> None:
    visible = name.encode("unicode_escape").decode("ascii")
    legends = [draw_legend([(text, (255, 0, 0))], 100) for text in (name, visible)]
    captions = [draw_caption(text, [], 300) for text in (name, visible)]
    for hostile, plain in (legends, captions):
        np.testing.assert_array_equal(np.asarray(hostile), np.asarray(plain))


def test_a_caption_breaks_its_lines_and_shortens_what_is_too_long() -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    assert draw_caption("a.png", [], 200).size == (200, 18)
    assert draw_caption("a.png", [("cat", red), ("dog", blue)], 200).size == (200, 36)
    assert draw_caption("a.png", [("cat", red), ("dog", blue)], 70).size == (70, 54)
    assert draw_caption("folder/" * 500, [("cat" * 5000, red)], 100).size == (100, 36)
