"""Mask sets against masks worked by hand and against plain numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKS = arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=7))


def three() -> tuple[NDArray[np.bool_], MaskSet]:
    """Of a 4 x 6 image: a 2 x 3 block, the column right of its middle, and nothing."""
    masks = np.zeros((3, 4, 6), dtype=bool)
    masks[0, 1:3, 2:5] = True
    masks[1, :, 4] = True
    return masks, MaskSet.from_masks(masks, predicted_iou=[0.9, 0.8, 0.7], stability=[0.6, 0.5, 0.4])


def test_hand_worked_areas_boxes_and_iou() -> None:
    _, found = three()
    assert found.areas.tolist() == [6, 4, 0]
    assert found.areas.dtype == np.int64
    # x0, y0, x1, y1 with the far sides just outside: x1 - x0 is the width in pixels.
    assert found.boxes.tolist() == [[2, 1, 5, 3], [4, 0, 5, 4], [0, 0, 0, 0]]
    assert found.boxes.dtype == np.float32
    # The block and the column share 2 of 6 + 4 - 2 pixels.
    np.testing.assert_allclose(found.iou(), [[1.0, 0.25, 0.0], [0.25, 1.0, 0.0], [0.0, 0.0, 0.0]])


@given(MASKS)
def test_decode_undoes_from_masks(masks: NDArray[np.bool_]) -> None:
    found = MaskSet.from_masks(masks)
    assert found.size == masks.shape[1:]
    np.testing.assert_array_equal(found.decode(), masks)
    for position, mask in enumerate(masks):
        np.testing.assert_array_equal(found.decode(position), mask)


@given(MASKS)
def test_measures_agree_with_numpy(masks: NDArray[np.bool_]) -> None:
    found = MaskSet.from_masks(masks)
    flat = masks.reshape(len(masks), -1).astype(int)
    np.testing.assert_array_equal(found.areas, flat.sum(axis=1))
    shared = flat @ flat.T
    union = flat.sum(axis=1)[:, None] + flat.sum(axis=1)[None] - shared
    np.testing.assert_allclose(found.iou(), np.where(union, shared / np.maximum(union, 1), 0))
    for box, mask in zip(found.boxes, masks, strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@given(MASKS, st.data())
def test_select_takes_in_the_order_asked_for(masks: NDArray[np.bool_], data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, len(masks) - 1)))
    scores = np.arange(len(masks), dtype=np.float32)
    chosen = MaskSet.from_masks(masks, scores, -scores).select(positions)
    np.testing.assert_array_equal(chosen.decode(), masks[np.array(positions, dtype=int)])
    assert chosen.predicted_iou.tolist() == positions
    assert (-chosen.stability).tolist() == positions


def test_select_by_bool() -> None:
    masks, found = three()
    chosen = found.select(found.areas > 0)
    np.testing.assert_array_equal(chosen.decode(), masks[:2])
    np.testing.assert_allclose(chosen.stability, [0.6, 0.5])
    assert len(found.select([False] * 3)) == 0
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        found.select([True, False])
    with pytest.raises(IndexError):
        found.select([3])


def test_concat_keeps_order_and_scores() -> None:
    masks, found = three()
    joined = MaskSet.concat([found.select([2]), MaskSet.empty((4, 6)), found.select([0, 1])])
    np.testing.assert_array_equal(joined.decode(), masks[[2, 0, 1]])
    np.testing.assert_allclose(joined.predicted_iou, [0.7, 0.9, 0.8])


def test_concat_refuses_nothing_and_other_sizes() -> None:
    with pytest.raises(ValueError, match=r"MaskSet.empty\(size\)"):
        MaskSet.concat([])
    with pytest.raises(ValueError, match=r"\(4, 6\), \(6, 4\)"):
        MaskSet.concat([MaskSet.empty((6, 4)), MaskSet.empty((4, 6))])


def test_no_masks() -> None:
    for none in (MaskSet.empty((4, 6)), MaskSet.from_masks(np.zeros((0, 4, 6), dtype=bool))):
        assert len(none) == 0
        assert none.areas.shape == (0,)
        assert none.boxes.shape == (0, 4)
        assert none.decode().shape == (0, 4, 6)
        assert none.iou().shape == (0, 0)
        assert len(none.select([])) == 0


def test_one_pixel() -> None:
    found = MaskSet.from_masks(np.ones((1, 1, 1), dtype=bool))
    assert found.boxes.tolist() == [[0, 0, 1, 1]]
    assert found.predicted_iou.tolist() == found.stability.tolist() == [1.0]


def test_scores_are_kept_as_float32() -> None:
    found = MaskSet.from_masks(np.ones((2, 2, 2), dtype=bool), [0.1, 0.2])
    assert found.predicted_iou.dtype == found.stability.dtype == np.float32


def test_lengths_and_sizes_are_checked() -> None:
    one = np.ones((1, 2, 2), dtype=bool)
    with pytest.raises(ValueError, match=r"predicted_iou .* shape \(1,\); got \(2,\)"):
        MaskSet.from_masks(one, predicted_iou=[1, 1])
    with pytest.raises(ValueError, match=r"stability .* got \(1, 1\)"):
        MaskSet.from_masks(one, stability=[[1]])
    with pytest.raises(ValueError, match=r"got \(0, 5\)"):
        MaskSet.empty((0, 5))


def test_logits_are_not_taken_for_masks() -> None:
    with pytest.raises(ValueError, match=r"float64 \(1, 2, 2\); compare logits with a threshold"):
        MaskSet.from_masks(np.ones((1, 2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got bool \(2, 2\)"):
        MaskSet.from_masks(np.ones((2, 2), dtype=bool))


def test_counts_of_another_size_do_not_decode() -> None:
    _, found = three()
    wrong = MaskSet((3, 3), found.rles, found.predicted_iou, found.stability)
    with pytest.raises(ValueError, match="Invalid RLE"):
        wrong.decode()


def test_areas_of_more_masks_than_a_byte_counts() -> None:
    masks = MaskSet.from_masks(np.ones((300, 2, 3), dtype=np.bool_))
    assert masks.areas.tolist() == [6] * 300
    assert masks.boxes.tolist() == [[0, 0, 3, 2]] * 300
