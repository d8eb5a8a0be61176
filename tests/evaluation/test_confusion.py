"""The data set's mIoU, by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from fmbseg.evaluation.confusion import ConfusionMatrix


def counted(prediction: object, target: object, classes: int, **options: int) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes)
    matrix.update(np.array(prediction), np.array(target), **options)
    return matrix


def test_by_hand() -> None:
    # Class 0: 2 right of 3 there, 1 of class 1 taken for it: 2 / 4. Class 1: 1 / 3 (one missed, one taken).
    matrix = counted([[0, 0, -1], [0, 1, 2]], [[0, 0, 0], [1, 1, 1]], 4)
    assert matrix.counts.tolist() == [[2, 0, 0, 0, 1], [1, 1, 1, 0, 0], [0] * 5, [0] * 5]
    iou = matrix.iou()
    assert iou[:3].tolist() == [2 / 4, 1 / 3, 0.0]
    assert math.isnan(iou[3])
    assert matrix.miou() == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert matrix.miou(present_only=False) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert matrix.pixel_accuracy == 0.5


def test_ignored_pixels_do_not_count_whatever_was_predicted() -> None:
    plain = counted([[0, 1]], [[0, 1]], 2)
    more = counted([[0, 1, 0, 1, -1]], [[0, 1, 255, 255, 255]], 2, ignore=255)
    assert np.array_equal(plain.counts, more.counts)


def test_sums_go_over_the_data_set_and_not_over_images() -> None:
    matrix = ConfusionMatrix(1)
    matrix.update(np.zeros((1, 9), int), np.zeros((1, 9), int))
    matrix.update(np.full((1, 1), -1), np.zeros((1, 1), int))
    assert matrix.miou() == 0.9  # the mean over images would be 0.5


def test_nothing_counted_is_nan() -> None:
    matrix = ConfusionMatrix(3)
    assert math.isnan(matrix.miou())
    assert math.isnan(matrix.miou(present_only=False))
    assert math.isnan(matrix.pixel_accuracy)


maps = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed))


@given(maps, st.integers(1, 7), st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_agrees_with_scikit_learn(random: np.random.Generator, classes: int, height: int, width: int) -> None:
    prediction = random.integers(-1, classes, (height, width))
    target = random.integers(-1, classes, (height, width))
    matrix = counted(prediction, target, classes)
    seen = target >= 0
    given_, wanted = prediction[seen], target[seen]
    if not seen.any():
        assert matrix.counts.sum() == 0
        return
    labels = [*range(classes), -1]
    expected = confusion_matrix(wanted, given_, labels=labels)
    assert np.array_equal(matrix.counts, expected[:-1])
    present = sorted(set(wanted.tolist()))
    assert matrix.miou() == pytest.approx(
        jaccard_score(wanted, given_, labels=present, average="macro", zero_division=0)
    )
    assert matrix.pixel_accuracy == pytest.approx(accuracy_score(wanted, given_))


@given(maps)
def test_merging_is_counting_both(random: np.random.Generator) -> None:
    maps = random.integers(-1, 4, (4, 3, 5))
    one, other = counted(maps[0], maps[1], 4), counted(maps[2], maps[3], 4)
    both = counted(maps[0::2], maps[1::2], 4)
    one.merge(other)
    assert np.array_equal(one.counts, both.counts)


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([[0, 1]], [[0], [1]], r"\(1, 2\) and the target \(2, 1\)"),
        ([[2]], [[0]], "prediction holds 2 to 2: allowed are -1 to 1"),
        ([[-2]], [[0]], "prediction holds -2"),
        ([[0]], [[2]], "target holds 2 to 2: allowed are 0 to 1"),
    ],
)
def test_what_is_refused(prediction: object, target: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counted(prediction, target, 2)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="num_classes is 0"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match="2 and 3 classes"):
        ConfusionMatrix(2).merge(ConfusionMatrix(3))
