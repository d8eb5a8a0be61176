"""Snapping to masks by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.masks import MaskSet
from fmbseg.segmentation.snapping import snap_to_masks

LABELS = np.array([[0, 0, 0, 1], [1, 0, 2, 2]], np.int32)
SCORES = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], np.float32)


def masks(*rows: list[list[int]]) -> MaskSet:
    return MaskSet.from_masks(np.array(rows, dtype=bool))


def test_the_majority_wins_and_outside_nothing_changes() -> None:
    left = [[1, 1, 0, 0], [1, 1, 0, 0]]
    labels, scores = snap_to_masks(LABELS, SCORES, masks(left), 0.5)
    assert labels.tolist() == [[0, 0, 0, 1], [0, 0, 2, 2]]
    expected = SCORES.copy()
    expected[1, 0] = np.mean([0.1, 0.2, 0.6], dtype=np.float32)
    np.testing.assert_allclose(scores, expected)
    assert LABELS[1, 0] == 1  # the input is left as it was


def test_a_mask_within_another_keeps_its_own_class() -> None:
    whole, corner = np.ones((2, 4), int).tolist(), [[0, 0, 0, 0], [0, 0, 1, 1]]
    for order in ((whole, corner), (corner, whole)):
        labels, scores = snap_to_masks(LABELS, SCORES, masks(*order), 0.5)
        assert labels.tolist() == [[0, 0, 0, 0], [0, 0, 2, 2]]
        assert scores[1, 2:].tolist() == SCORES[1, 2:].tolist()


def test_a_mask_without_a_clear_majority_changes_nothing() -> None:
    whole = np.ones((2, 4), int).tolist()  # class 0 has 4 of 8
    assert np.array_equal(snap_to_masks(LABELS, SCORES, masks(whole), 0.51)[0], LABELS)
    assert (snap_to_masks(LABELS, SCORES, masks(whole), 0.5)[0] == 0).all()


def test_pixels_without_a_class_have_no_vote_but_weigh() -> None:
    labels = np.array([[-1, -1, 1]], np.int32)
    whole = masks([[1, 1, 1]])
    scores = np.ones((1, 3), np.float32)
    assert snap_to_masks(labels, scores, whole, 0.3)[0].tolist() == [[1, 1, 1]]
    assert snap_to_masks(labels, scores, whole, 0.5)[0].tolist() == [[-1, -1, 1]]
    nothing = np.full((1, 3), -1, np.int32)
    assert snap_to_masks(nothing, scores, whole, 0.0)[0].tolist() == [[-1, -1, -1]]
    assert snap_to_masks(labels, scores, MaskSet.empty((1, 3)), 0.0)[0].tolist() == [[-1, -1, 1]]


def test_masks_of_another_image() -> None:
    with pytest.raises(ValueError, match=r"masks are of an image of \(1, 3\)"):
        snap_to_masks(LABELS, SCORES, masks([[1, 1, 1]]), 0.5)
