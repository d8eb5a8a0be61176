import numpy as np
import pytest

from fmbseg.demo import drawing

GREY = np.full((40, 60, 3), 128, dtype=np.uint8)


def test_colours_differ_and_come_again() -> None:
    colours = drawing.colours(45)
    assert len({tuple(colour) for colour in colours[:20].tolist()}) == 20
    np.testing.assert_array_equal(colours[20:40], colours[:20])
    assert colours.shape == (45, 3)


def test_shrink_keeps_the_shape_and_never_enlarges() -> None:
    assert drawing.shrink(GREY, 30).shape == (20, 30, 3)
    assert drawing.shrink(GREY, 600).shape == (40, 60, 3)


def test_a_class_map_is_scaled_without_inventing_classes() -> None:
    labels = np.array([[0, 2], [0, 2]], dtype=np.int32)
    assert np.unique(drawing.fit_map(labels, (40, 60))).tolist() == [0, 2]


def test_the_heat_map_is_brightest_where_the_similarity_is_highest() -> None:
    similarity = np.array([[0.1, 0.2, 0.9]], dtype=np.float32)
    brightness = drawing.heat_map(GREY, similarity).astype(int).sum(axis=2)[20]
    assert brightness[0] < brightness[30] < brightness[-1]


def test_a_flat_similarity_is_drawn() -> None:
    assert np.ptp(drawing.heat_map(GREY, np.full((2, 3), 0.5, np.float32))) < 256


def test_a_class_map_is_tinted_and_dimmed_where_there_is_none() -> None:
    labels = np.full((40, 60), -1, dtype=np.int32)
    labels[:, 30:] = 1
    picture = drawing.class_map(GREY, labels, np.array([[0, 0, 0], [255, 0, 128]], np.uint8))
    assert picture[0, 59].tolist() == [204, 51, 128]  # 0.4 * 128 + 0.6 * (255, 0, 128)
    assert picture[0, 0].tolist() == [102, 102, 102]  # 0.6 * 128 + 0.1 * 255


def test_a_mask_that_was_not_drawn_is_an_outline() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 10:30] = True
    red = np.array([255, 0, 0], dtype=np.uint8)
    filled = drawing.masks_over(GREY, [mask], [red], [True])
    outlined = drawing.masks_over(GREY, [mask], [red], [False])
    for picture in (filled, outlined):
        assert picture[10, 10].tolist() == picture[29, 29].tolist() == [255, 0, 0]
        assert picture[9, 9].tolist() == [102, 102, 102]
    assert filled[20, 20].tolist() == [192, 64, 64]
    assert outlined[20, 20].tolist() == [102, 102, 102]


def test_points_are_drawn_where_they_are() -> None:
    points = np.array([[800.0, 200.0]], dtype=np.float32)  # (x, y) in a photograph twice as large
    large = np.full((400, 600, 3), 128, dtype=np.uint8)
    picture = drawing.dots(large, points, 0.5, np.array([0, 255, 0], np.uint8))
    assert picture[100, 400].tolist() == [0, 255, 0]
    assert picture[300, 100].tolist() == [128, 128, 128]


def test_a_name_never_covers_one_before_it() -> None:
    red, blue = np.array([255, 0, 0], np.uint8), np.array([0, 0, 255], np.uint8)
    large = np.full((300, 600, 3), 128, dtype=np.uint8)
    once = drawing.captions(large, [("cat", (0.5, 0.5), red)])
    twice = drawing.captions(large, [("cat", (0.5, 0.5), red), ("dog", (0.51, 0.5), blue)])
    apart = drawing.captions(large, [("cat", (0.5, 0.5), red), ("dog", (0.1, 0.1), blue)])
    np.testing.assert_array_equal(once, twice)
    assert (apart == blue).all(axis=2).any()


@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0)])
def test_a_name_stays_inside_the_picture(place: tuple[float, float]) -> None:
    red = np.array([255, 0, 0], np.uint8)
    large = np.full((300, 600, 3), 128, dtype=np.uint8)
    inner = drawing.captions(large, [("motorcycle", (0.5, 0.5), red)])
    corner = drawing.captions(large, [("motorcycle", place, red)])
    reds = [(picture == red).all(axis=2).sum() for picture in (inner, corner)]
    assert abs(int(reds[0]) - int(reds[1])) < 0.1 * reds[0]


def test_the_place_of_a_name_is_on_its_mask() -> None:
    ring = np.zeros((20, 20), dtype=bool)
    ring[2:18, 2:18] = True
    ring[6:14, 6:14] = False  # its centre of mass is not on it
    x, y = drawing.inside(ring)
    assert ring[int(y * 20), int(x * 20)]
