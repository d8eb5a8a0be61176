from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmbseg.alignment.noise import LabelNoise
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.training_example import TrainingExample
from fmbseg.labels.record import EVERYTHING_STAGE, LabeledImage
from fmbseg.masks import MaskSet


def record(similarities: list[float], ious: list[float]) -> LabeledImage:
    """Masks side by side, each of two columns of a map of one row; the last two columns have none."""
    count = len(similarities)
    pixels = np.zeros((count, 1, 2 * count + 2), np.bool_)
    for index in range(count):
        pixels[index, 0, 2 * index : 2 * index + 2] = True
    return LabeledImage(
        path="x.jpg",
        sha256="ab",
        detected=(0,),
        masks=MaskSet.from_masks(pixels, ious),
        class_ids=np.arange(count, dtype=np.int32),
        stages=np.full(count, EVERYTHING_STAGE, np.int8),
        similarities=np.array(similarities, np.float32),
        kept=np.ones(count, np.bool_),
        points=(np.zeros((0, 2), np.float32),) * count,
    )


def weights_of(noise: LabelNoise, records: list[LabeledImage]) -> list[list[float]]:
    weigh = noise.weigher(records)
    assert weigh is not None
    return [weigh(one)[0].tolist() for one in records]


def example(labels: list[int], weights: list[float] | None = None, name: str = "ab") -> TrainingExample:
    return TrainingExample(
        Path("x"),
        name,
        (8, 8),
        np.array([labels], np.int16),
        None if weights is None else np.array([weights], np.float32),
    )


def test_by_default_nothing_is_weighed() -> None:
    assert LabelNoise.of(TrainingSettings()) == LabelNoise()
    assert LabelNoise().weigher([record([0.3], [0.9])]) is None
    one = example([0, 1])
    assert LabelNoise().capped([one], 2) == (one,)
    assert one.drawn_labels(0, 1) is one.labels


def test_scores_count_against_the_highest_of_all_labels() -> None:
    first, second = record([0.2, -0.1], [0.5, 1.0]), record([0.4], [0.8])
    assert weights_of(LabelNoise(similarity_power=2), [first, second]) == [
        pytest.approx([0.25, 0.25, 0, 0, 0, 0]),
        pytest.approx([1, 1, 0, 0]),
    ]
    assert weights_of(LabelNoise(iou_power=1), [first, second]) == [
        pytest.approx([0.5, 0.5, 1, 1, 0, 0]),
        pytest.approx([0.8, 0.8, 0, 0]),
    ]
    assert weights_of(LabelNoise(1, 0.5), [first, second])[0] == pytest.approx([0.5 * 0.5**0.5] * 2 + [0] * 4)


def test_masks_of_unknown_precision_are_left_out_by_it() -> None:
    assert weights_of(LabelNoise(iou_power=0.1), [record([0.3, 0.3], [0.0, 0.9])])[0] == [0, 0, 1, 1, 0, 0]


def test_labels_without_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="these know of no masks: set similarity_power and iou_power to 0"):
        LabelNoise(similarity_power=1).weigher([object()])
    with pytest.raises(ValueError, match="score above 0: set iou_power to 0, not 2"):
        LabelNoise(iou_power=2).weigher([record([0.5], [0.0])])


def test_a_weight_is_the_share_of_epochs_that_a_patch_takes_part_in() -> None:
    one = example([0, 1, 2, -1], [0.0, 0.3, 1.0, 1.0])
    epochs = np.stack([one.drawn_labels(0, epoch)[0] for epoch in range(1, 2001)])
    assert epochs.dtype == np.int16
    share = (epochs >= 0).mean(axis=0)
    assert share.tolist() == [0, pytest.approx(0.3, abs=0.04), 1, 0]  # 0.04 is four standard deviations
    assert set(np.unique(epochs[:, 1])) == {-1, 1}


def test_the_draw_depends_on_seed_epoch_and_photograph_alone() -> None:
    many = example([1] * 200, [0.5] * 200)
    drawn = many.drawn_labels(3, 7)
    assert np.array_equal(drawn, many.drawn_labels(3, 7))
    for other in (
        many.drawn_labels(4, 7),
        many.drawn_labels(3, 8),
        replace(many, sha256="cd").drawn_labels(3, 7),
    ):
        assert 60 < (drawn != other).sum() < 140


def test_places_are_drawn_without_repeats_by_seed_epoch_and_photograph() -> None:
    many = example([1] * 200)
    places = many.drawn_places(50, 3, 7)
    assert places is not None
    assert len(set(places.tolist())) == 50
    assert set(places.tolist()) < set(range(200))
    for seed, epoch, name, same in (
        (3, 7, "ab", True),
        (4, 7, "ab", False),
        (3, 8, "ab", False),
        (3, 7, "cd", False),
    ):
        other = replace(many, sha256=name).drawn_places(50, seed, epoch)
        assert other is not None
        assert (other.tolist() == places.tolist()) is same
    drawn = [many.drawn_places(50, 3, epoch).tolist() for epoch in range(400)]  # type: ignore[union-attr]
    counts = np.bincount(np.concatenate(drawn), minlength=200)  # of 400 epochs, a quarter each
    assert 55 < counts.min() < counts.max() < 145  # five standard deviations
    assert many.drawn_places(200, 3, 7) is many.drawn_places(None, 3, 7) is None


def test_a_cap_makes_a_frequent_class_rarer_and_leaves_the_others() -> None:
    """Class 0 has 3 + 5 patches, of weights 3 and 2.5 in sum: 5.5 expected, of which 2 are to be left."""
    first, second = example([0, 0, 0, 1]), example([0] * 5 + [-1], [0.5] * 6, name="cd")
    found = LabelNoise(class_cap=2).capped([first, second], 3)
    weights = [one.weights for one in found]
    assert weights[0] is not None
    assert weights[1] is not None
    assert weights[0][0].tolist() == pytest.approx([2 / 5.5] * 3 + [1])
    assert weights[1][0].tolist() == pytest.approx([1 / 5.5] * 5 + [0])
    sums = [float(one.weights[one.labels == 0].sum()) for one in found if one.weights is not None]
    assert sum(sums) == pytest.approx(2)
