"""Figures by hand and against scikit-learn; counts that survive a file and add up in any order."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, jaccard_score

from fmbseg.evaluation.boundary import size_counts
from fmbseg.evaluation.metrics import SegmentationMetrics


def measured(prediction: object, target: object, classes: int) -> SegmentationMetrics:
    metrics = SegmentationMetrics(classes)
    metrics.update(np.array(prediction, np.int32), np.array(target, np.int32))
    return metrics


def test_figures_by_hand() -> None:
    # Class 0: 3 there, 2 right, 1 of class 1 taken for it. Class 1: 3 there, 1 right. Class 2: only given.
    metrics = measured([[0, 0, -1], [0, 1, 2]], [[0, 0, 0], [1, 1, 1]], 4)
    figures = metrics.figures()
    assert figures["miou"] == pytest.approx((2 / 4 + 1 / 3 + 0) / 3)  # as mmsegmentation averages
    assert figures["miou_present"] == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert figures["pixel_accuracy"] == 3 / 6
    assert (figures["unknown"], figures["accuracy_of_known"]) == (1 / 6, 3 / 5)
    assert figures["mean_accuracy"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert figures["frequency_weighted_iou"] == pytest.approx((3 * 2 / 4 + 3 * 1 / 3) / 6)
    assert figures["accuracy_small"] == figures["mean_accuracy"]
    assert math.isnan(figures["accuracy_large"])
    rows = metrics.per_class(["a", "b", "c", "d"])
    assert rows[2] == {
        "class": "c",
        "iou": 0.0,
        "accuracy": None,
        "boundary_iou": 0.0,
        "pixels": 0,
        "pixels_given": 1,
    }
    assert rows[3]["iou"] is None


def test_small_medium_and_large_components() -> None:
    target = np.full((200, 300), -1, np.int32)
    target[:20, :20] = 0  # 400 pixels: small
    target[:40, 40:80] = 0  # 1,600: medium
    target[100:200, 100:200] = 0  # 10,000: large
    target[100:132, :32] = 1  # 1,024 = 32 x 32: medium already
    prediction = np.where(target >= 0, 0, -1).astype(np.int32)
    prediction[:10, :20] = 1
    counts = size_counts(prediction, target, 2)
    assert counts[:, 0].tolist() == [[1, 400, 200], [1, 1600, 1600], [1, 10_000, 10_000]]
    assert counts[:, 1].tolist() == [[0, 0, 0], [1, 1024, 0], [0, 0, 0]]
    figures = measured(prediction, target, 2).figures()
    assert (figures["accuracy_small"], figures["accuracy_medium"], figures["accuracy_large"]) == (
        0.5,
        0.5,
        1.0,
    )


def test_nothing_counted_is_nan() -> None:
    figures = measured([[0]], [[-1]], 2).figures()
    assert all(math.isnan(value) for value in figures.values())


maps = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")  # as they may here
@given(maps, st.integers(2, 6), st.integers(1, 12), st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_agrees_with_scikit_learn(random: np.random.Generator, classes: int, height: int, width: int) -> None:
    prediction = random.integers(0, classes, (height, width))
    target = random.integers(-1, classes, (height, width))
    metrics = measured(prediction, target, classes)
    seen = target >= 0
    if not seen.any():
        return
    given_, wanted = prediction[seen], target[seen]
    expected = confusion_matrix(wanted, given_, labels=list(range(classes)))
    assert np.array_equal(metrics.confusion.counts[:, :-1], expected)
    figures = metrics.figures()
    either = sorted({*given_.tolist(), *wanted.tolist()})
    there = sorted(set(wanted.tolist()))
    assert figures["miou"] == pytest.approx(
        jaccard_score(wanted, given_, labels=either, average="macro", zero_division=0)
    )
    weighted = jaccard_score(wanted, given_, labels=there, average="weighted", zero_division=0)
    assert figures["frequency_weighted_iou"] == pytest.approx(weighted)
    if len(there) > 1:
        assert figures["mean_accuracy"] == pytest.approx(balanced_accuracy_score(wanted, given_))


@given(maps)
@settings(deadline=None, max_examples=30)
def test_merged_and_read_back_is_the_same(random: np.random.Generator) -> None:
    pairs = [(random.integers(-1, 4, (9, 7)), random.integers(-1, 4, (9, 7))) for _ in range(3)]
    whole = SegmentationMetrics(4)
    for prediction, target in pairs:
        whole.update(prediction.astype(np.int32), target.astype(np.int32))
    joined = SegmentationMetrics(4)
    for prediction, target in reversed(pairs):
        row = json.loads(json.dumps(measured(prediction, target, 4).to_row()))
        joined.merge(SegmentationMetrics.from_row(4, row))
    np.testing.assert_equal(joined.figures(), whole.figures())
    np.testing.assert_equal(joined.boundary_iou(), whole.boundary_iou())


def test_rows_of_something_else() -> None:
    row = measured([[3]], [[3]], 4).to_row()
    for spoilt in ({}, {**row, "sizes": [[1, 2]]}, {**row, "confusion": 3}):
        with pytest.raises(ValueError, match="counts of 4 classes cannot be read"):
            SegmentationMetrics.from_row(4, spoilt)
    with pytest.raises(ValueError, match="counts of 3 classes"):
        SegmentationMetrics.from_row(3, row)
    with pytest.raises(ValueError, match="do not add up"):
        SegmentationMetrics(3).merge(SegmentationMetrics(4))
