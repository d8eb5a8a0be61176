"""The palette against VOC's published colours, and overlays worked by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.color import rgb2lab

from fmbseg.legend import draw_legend
from fmbseg.palette import colorize, distinct_colours, overlay, palette

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# The colours of PASCAL VOC's development kit, from aeroplane to tv/monitor.
VOC = [
    (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128),
    (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128),
    (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
]  # fmt: skip


def test_colours_are_those_of_voc_without_its_black() -> None:
    assert [tuple(colour) for colour in palette(20).tolist()] == VOC
    assert palette(255)[254].tolist() == [224, 224, 192]  # VOC's "void"


def test_every_class_has_its_own_colour_and_none_is_black() -> None:
    colours = palette(998)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 998
    assert (colours.sum(axis=1) > 0).all()
    assert palette(0).shape == (0, 3)


@pytest.mark.parametrize("colours", [palette, distinct_colours])
def test_a_class_keeps_its_colour_among_more_classes(colours: Callable[[int], NDArray[np.uint8]]) -> None:
    np.testing.assert_array_equal(colours(171)[:20], colours(20))


@pytest.mark.parametrize(("count", "least"), [(20, 30), (80, 15), (256, 8)])
def test_colours_of_pictures_are_told_apart(count: int, least: float) -> None:
    """In CIELAB two is about the least difference that is seen; VOC's first 80 come as near as 2.6."""
    lab = rgb2lab(distinct_colours(count)[None])[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e9 * np.eye(count)
    assert apart.min() > least
    assert lab[:, 0].min() > 39.9
    assert lab[:, 0].max() < 88.1
    assert np.hypot(lab[:, 1], lab[:, 2]).min() > 29.9


def test_more_classes_than_colours() -> None:
    many = distinct_colours(998)
    np.testing.assert_array_equal(many[256:512], many[:256])
    assert distinct_colours(0).shape == (0, 3)


def test_colorize() -> None:
    painted = colorize(np.array([[0, 1], [-1, 0]]), 2)
    assert painted.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 0], [255, 0, 0]]]


def test_colorize_refuses_a_class_beyond_the_count() -> None:
    with pytest.raises(IndexError):
        colorize(np.array([[3]]), 2)


def test_overlay_mixes_and_leaves_what_has_no_class() -> None:
    image = np.full((1, 2, 3), 200, dtype=np.uint8)
    mixed = overlay(image, np.array([[0, -1]]), 1, alpha=0.25)
    # 0.75 x 200 + 0.25 x (255, 0, 0)
    assert mixed.tolist() == [[[214, 150, 150], [200, 200, 200]]]
    assert mixed.dtype == np.uint8
    assert (image == 200).all()


def test_overlay_at_both_ends() -> None:
    image = np.full((1, 1, 3), 7, dtype=np.uint8)
    label = np.array([[0]])
    assert overlay(image, label, 1, alpha=0).tolist() == image.tolist()
    assert overlay(image, label, 1, alpha=1).tolist() == [[[255, 0, 0]]]


def test_overlay_refuses_other_sizes_and_shares() -> None:
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"\(2, 3, 3\) and labels \(3, 2\)"):
        overlay(image, np.zeros((3, 2), dtype=int), 1)
    with pytest.raises(ValueError, match="got 55"):
        overlay(image, np.zeros((2, 3), dtype=int), 1, alpha=55)


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
