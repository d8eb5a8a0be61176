from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fmbseg.alignment.patch_labels import patch_labels, patch_means


def counted_by_hand(
    label_map: NDArray[np.int32], grid: tuple[int, int], min_coverage: float
) -> NDArray[np.int64]:
    """The same vote pixel by pixel, in exact fractions."""
    height, width = label_map.shape
    result = np.full(grid, -1, np.int64)
    for row in range(grid[0]):
        for column in range(grid[1]):
            ballots = [
                int(label_map[y, x])
                for y in range(height)
                for x in range(width)
                if row <= Fraction(2 * y + 1, 2) * grid[0] / height < row + 1
                and column <= Fraction(2 * x + 1, 2) * grid[1] / width < column + 1
            ]
            classes = sorted({label for label in ballots if label >= 0})
            if classes:
                best = max(classes, key=ballots.count)  # the first, so the lowest, of equals
                if ballots.count(best) / len(ballots) >= min_coverage:
                    result[row, column] = best
    return result


@given(data=st.data(), min_coverage=st.sampled_from([0.01, 0.3, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_every_pixel_votes_where_its_centre_lies(data: st.DataObject, min_coverage: float) -> None:
    grid = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    shape = data.draw(st.tuples(st.integers(grid[0], 11), st.integers(grid[1], 11)))
    label_map = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-1, 3)))
    np.testing.assert_array_equal(
        patch_labels(label_map, grid, 4, min_coverage=min_coverage),
        counted_by_hand(label_map, grid, min_coverage),
    )


def test_unlabelled_pixels_count_against_the_winner() -> None:
    patch = np.array([[3, 3, -1, -1, -1]], np.int32)
    assert patch_labels(patch, (1, 1), 4).tolist() == [[-1]]
    assert patch_labels(patch, (1, 1), 4, min_coverage=0.4).tolist() == [[3]]


def test_the_threshold_itself_is_enough() -> None:
    patch = np.repeat(np.array([0, -1], np.int32), [3, 7])[None]
    assert patch_labels(patch, (1, 1), 1, min_coverage=0.3).tolist() == [[0]]


def test_sides_that_do_not_divide() -> None:
    """Five columns in two cells: centres 0.5, 1.5 | 2.5 (the border itself goes right), 3.5, 4.5."""
    row = np.array([[0, 0, 1, 1, 1]], np.int32)
    assert patch_labels(row, (1, 2), 2, min_coverage=1.0).tolist() == [[0, 1]]


def test_fewer_pixels_than_cells_repeat_the_pixels() -> None:
    assert patch_labels(np.array([[0, 1]], np.int32), (2, 4), 2).tolist() == [[0, 0, 1, 1]] * 2


def test_a_map_without_labels() -> None:
    result = patch_labels(np.full((8, 8), -1, np.int32), (2, 2), 5)
    assert result.dtype == np.int64
    assert (result == -1).all()


def test_large_indices_survive() -> None:
    assert patch_labels(np.full((4, 4), 999, np.int32), (1, 1), 1000).tolist() == [[999]]


@pytest.mark.parametrize(
    ("label_map", "grid", "min_coverage", "message"),
    [
        (np.zeros((0, 4), np.int32), (1, 1), 0.5, r"not empty; got int32 \(0, 4\)"),
        (np.zeros(4, np.int32), (1, 1), 0.5, r"\(H, W\)"),
        (np.zeros((4, 4), np.float32), (1, 1), 0.5, "float32"),
        (np.full((4, 4), 7, np.int32), (1, 1), 0.5, "7 to 7, but classes are 0 to 2"),
        (np.full((4, 4), -2, np.int32), (1, 1), 0.5, "-2"),
        (np.zeros((4, 4), np.int32), (0, 1), 0.5, r"\(0, 1\)"),
        (np.zeros((4, 4), np.int32), (1, 1), 0.0, "min_coverage is 0.0"),
        (np.zeros((4, 4), np.int32), (1, 1), 1.5, "min_coverage is 1.5"),
    ],
)
def test_wrong_input_is_named(
    label_map: NDArray[np.int32], grid: tuple[int, int], min_coverage: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        patch_labels(label_map, grid, 3, min_coverage=min_coverage)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_means_are_over_the_pixels_of_the_patchs_class(data: st.DataObject) -> None:
    grid = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    shape = data.draw(st.tuples(st.integers(grid[0], 9), st.integers(grid[1], 9)))
    label_map = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-1, 2)))
    values = data.draw(hnp.arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 1.0])))
    labels = patch_labels(label_map, grid, 3, min_coverage=0.3)
    found = patch_means(values, label_map, labels)
    for row in range(grid[0]):
        for column in range(grid[1]):
            own = [
                values[y, x]
                for y in range(shape[0])
                for x in range(shape[1])
                if row <= Fraction(2 * y + 1, 2) * grid[0] / shape[0] < row + 1
                and column <= Fraction(2 * x + 1, 2) * grid[1] / shape[1] < column + 1
                and label_map[y, x] == labels[row, column] >= 0
            ]
            assert found[row, column] == pytest.approx(np.mean(own) if own else 0)
