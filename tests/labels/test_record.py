"""Painting masks into a label map, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.labels.record import CONCEPT_STAGE, EVERYTHING_STAGE, HAND_STAGE, POINT_STAGE
from tests.labels.examples import SIZE, boxes, empty_record, record

NONE = -1


def test_the_smaller_mask_lies_on_top() -> None:
    # Areas: 16 (class 4), 4 (class 1), 8 (class 4, not drawn).
    expected = [
        [4, 4, 4, 4, NONE, NONE],
        [4, 1, 1, 4, NONE, NONE],
        [4, 1, 1, 4, NONE, NONE],
        [4, 4, 4, 4, NONE, NONE],
    ]
    labels = record().label_map()
    assert labels.dtype == np.int32
    assert labels.tolist() == expected


def test_masks_that_were_not_drawn_are_painted_only_if_asked_for() -> None:
    labels = record(class_ids=np.array([4, 1, 0], dtype=np.int32)).label_map(kept_only=False)
    assert labels.tolist() == [
        [4, 4, 4, 4, NONE, NONE],
        [4, 1, 1, 4, NONE, NONE],
        [4, 1, 0, 0, 0, 0],  # Stage 1.2 lies on Stage 1.1, though its mask is larger here
        [4, 4, 0, 0, 0, 0],
    ]


def test_a_teachers_masks_lie_on_named_ones_and_under_those_by_hand() -> None:
    masks = boxes((0, 0, 4, 6), (0, 0, 4, 4), (0, 0, 1, 1))  # the larger, the later its stage
    stages = np.array([HAND_STAGE, CONCEPT_STAGE, EVERYTHING_STAGE], np.int8)
    image = record(masks=masks, stages=stages, class_ids=np.array([0, 1, 2], np.int32), kept=np.ones(3, bool))
    assert (image.label_map() == 0).all()
    assert image.label_map([CONCEPT_STAGE, EVERYTHING_STAGE])[0].tolist() == [1, 1, 1, 1, NONE, NONE]
    assert image.label_map([EVERYTHING_STAGE])[0].tolist() == [2, NONE, NONE, NONE, NONE, NONE]


def test_stages_are_painted_alone() -> None:
    image = record()
    points = image.label_map([POINT_STAGE], kept_only=False)
    everything = image.label_map([EVERYTHING_STAGE], kept_only=False)
    assert (points == 1).sum() == 4
    assert (points == 4).sum() == 12
    assert (everything == 4).sum() == 8
    assert (everything == NONE).sum() == 16
    assert (image.label_map([EVERYTHING_STAGE]) == NONE).all()
    assert (image.label_map([]) == NONE).all()


def test_of_equal_areas_the_later_lies_on_top() -> None:
    masks = boxes((0, 0, 2, 2), (0, 1, 2, 3), (0, 2, 2, 4))
    kept = np.ones(3, dtype=np.bool_)
    labels = record(masks=masks, class_ids=np.array([0, 1, 2], np.int32), kept=kept).label_map()
    assert labels[0].tolist() == [0, 1, 2, 2, NONE, NONE]
    flipped = record(masks=masks.select([2, 1, 0]), class_ids=np.array([2, 1, 0], np.int32), kept=kept)
    assert flipped.label_map()[0].tolist() == [0, 0, 1, 2, NONE, NONE]


def test_agrees_with_sorting_pixels() -> None:
    random = np.random.default_rng(0)
    corners = [(int(t), int(x), int(t + h), int(x + w)) for t, x, h, w in random.integers(1, 9, (12, 4))]
    masks = boxes(*corners, size=(18, 18))
    classes = random.integers(0, 5, 12).astype(np.int32)
    stages = random.choice([POINT_STAGE, EVERYTHING_STAGE], 12).astype(np.int8)
    kept = random.random(12) < 0.6
    points = (np.zeros((0, 2), np.float32),) * 12
    similarities = np.zeros(12, np.float32)
    image = record(
        masks=masks, class_ids=classes, stages=stages, kept=kept, points=points, similarities=similarities
    )
    pixels = masks.decode()
    expected = np.full((18, 18), NONE)
    for row in range(18):
        for column in range(18):
            on = [i for i in range(12) if pixels[i, row, column] and kept[i]]
            if on:
                expected[row, column] = classes[min(on, key=lambda i: (-stages[i], pixels[i].sum(), -i))]
    np.testing.assert_array_equal(image.label_map(), expected)


def test_no_mask_at_all() -> None:
    assert empty_record().label_map().tolist() == [[NONE] * 5] * 3
    assert record().size == SIZE


@pytest.mark.parametrize("name", ["class_ids", "stages", "similarities", "kept", "points"])
def test_lengths_that_differ_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"dog\.jpg: {name} has 2 entries for 3 masks"):
        record(**{name: getattr(record(), name)[:2]})


def test_what_is_less_certain_is_left_out_and_what_nobody_knows_stays() -> None:
    whole = record(presences=np.array([np.nan, 0.75], np.float32))  # masks: 0.75, unknown, 0.25
    assert whole.certain(0) is whole
    half = whole.certain(0.5)
    assert (half.detected, half.class_ids.tolist()) == ((1, 4), [4, 1])
    assert [points.shape for points in half.points] == [(2, 2), (1, 2)]
    assert (half.label_map(kept_only=False)[2:, 4:] == -1).all()
    sure = whole.certain(0.8)
    assert (sure.detected, sure.class_ids.tolist()) == ((1,), [1])
    np.testing.assert_array_equal(sure.presences, [np.nan])
    assert whole.certain(0.75).detected == (1, 4)  # inclusive
    by_hand = record(presences=np.full(2, 0.1, np.float32), stages=np.full(3, HAND_STAGE, np.int8))
    assert by_hand.certain(0.8).detected == (1,)  # for the mask that nobody knows the certainty of


def test_certainties_are_unknown_where_they_are_left_out() -> None:
    plain = record(certainties=np.zeros(0, np.float32), detected=(1, 2, 4))
    assert np.isnan(plain.certainties).all()
    assert (len(plain.certainties), len(plain.presences)) == (3, 3)
    with pytest.raises(ValueError, match=r"presences has 1 entries for 2 classes"):
        record(presences=np.ones(1, np.float32))
