"""Settings are chosen by the evaluation's own figure, and stay where the best is not surely better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.choose_settings import SEGMENTING, Remembered
from benchmarks.choose_training import TRAINING
from benchmarks.setting_counts import Counts, combinations
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.image_counts import ImageCounts
from fmbseg.evaluation.metrics import SegmentationMetrics
from fmbseg.masks import MaskSet
from fmbseg.recipes import get_recipe


def test_the_figure_and_its_draws_are_the_evaluations() -> None:
    random = np.random.default_rng(0)
    counts, whole = Counts(4), ConfusionMatrix(4)
    rows: list[dict[str, Any]] = []
    for _ in range(6):
        target = random.integers(-1, 3, (9, 7))
        labels = np.where(random.random(target.shape) < 0.5, np.maximum(target, 0), random.integers(0, 4))
        counts.add("one", labels, target)
        whole.update(labels, target)
        metrics = SegmentationMetrics(4)
        metrics.update(labels.astype(np.int32), target.astype(np.int32))
        rows.append(metrics.to_row())
    assert counts.miou("one") == pytest.approx(whole.miou(present_only=False))
    np.testing.assert_allclose(counts.drawn(counts.left_out(["one"])), ImageCounts.of(rows, 4).drawn["miou"])


def test_the_recipes_own_settings_stay_unless_the_best_is_surely_better() -> None:
    counts = Counts(2)
    target = np.array([[0, 0, 1, 1]])
    for index in range(20):
        counts.add((1,), np.array([[0, 1, 1, 1]]), target)
        counts.add((2,), target, target)
        counts.add((3,), target if index else np.array([[1, 1, 0, 0]]), target)
    told = counts.told(["step"], [(1,), (2,), (3,)], (1,))
    assert told["chosen"] == {"step": 2}
    assert not told["recipe_stays"]
    assert counts.told(["step"], [(2,), (3,)], (3,))["recipe_stays"]


def test_each_photograph_is_measured_with_what_is_best_on_all_others() -> None:
    random = np.random.default_rng(1)
    counts = Counts(3)
    painted = random.integers(0, 3, (5, 4, 8, 8))
    targets = random.integers(0, 3, (5, 8, 8))
    for labels, target in zip(painted, targets, strict=True):
        for candidate in range(4):
            counts.add(candidate, labels[candidate], target)
    for left_out, found in enumerate(counts.left_out(range(4))):
        others, alone = [Counts(3) for _ in range(4)], Counts(3)
        for index, (labels, target) in enumerate(zip(painted, targets, strict=True)):
            for candidate in range(4):
                if index != left_out:
                    others[candidate].add("it", labels[candidate], target)
        best = int(np.argmax([one.miou("it") for one in others]))
        alone.add("it", painted[left_out, best], targets[left_out])
        np.testing.assert_array_equal(found, alone.left_out(["it"])[0])


def test_the_best_of_many_that_are_alike_does_not_replace_the_recipes_own() -> None:
    random = np.random.default_rng(2)
    counts = Counts(4)
    for _ in range(12):
        target = random.integers(0, 4, (16, 16))
        for candidate in range(40):
            guess = np.where(random.random(target.shape) < 0.5, target, random.integers(0, 4, target.shape))
            counts.add((candidate,), guess, target)
    told = counts.told(["step"], [(one,) for one in range(40)], (7,))
    assert told["chosen_miou"] > told["recipe_miou"]
    assert told["recipe_stays"]


def test_the_recipes_own_settings_are_a_candidate() -> None:
    recipe = get_recipe("offline")
    mixed = recipe.segmenting.preserve
    assert mixed is not None
    own = (recipe.segmenting.windows.short_side, mixed.weight, mixed.short_side, recipe.hubness)
    candidates = combinations(SEGMENTING)
    assert own in candidates
    assert len(candidates) == len(set(candidates)) == 140
    training = TrainingSettings.from_dict(recipe.training).to_dict()
    assert all(training[name] == values[0] for name, values in TRAINING.items())


def test_remembered_masks_take_no_points() -> None:
    masks = MaskSet.empty((4, 4))
    assert Remembered(masks).begin(np.zeros((4, 4, 3), np.uint8)).everything() is masks
    with pytest.raises(ValueError, match="take no points"):
        Remembered(masks).prompt()
