"""Intervals: a plain recomputation, and how often they hold what is known to be true."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.evaluation.image_counts import DRAWN_FIGURES, ImageCounts
from fmbseg.evaluation.intervals import DRAWS, interval
from fmbseg.evaluation.metrics import SegmentationMetrics

CLASSES = 4


def photographs(random: np.random.Generator, count: int) -> ImageCounts:
    """Photographs of a world in which each class is in half of them, at any size, and found more or less."""
    shown = random.random((count, CLASSES)) < 0.5
    there = np.where(shown, random.gamma(2.0, 500.0, (count, CLASSES)), 0).astype(np.int64)
    hits = random.binomial(there, random.beta(3.0, 2.0, (count, CLASSES)))
    wrong = random.binomial(800, 0.1 * random.random((count, CLASSES)))
    nothing = np.zeros((count, CLASSES, 2), np.int64)
    return ImageCounts(np.stack([hits, there, hits + wrong], axis=2), nothing, nothing)


def test_a_nominal_90_percent_holds_the_truth_in_85_to_95_of_100() -> None:
    whole = photographs(np.random.default_rng(1), 400_000).pixels.sum(axis=0)
    true = float((whole[:, 0] / (whole[:, 1] + whole[:, 2] - whole[:, 0])).mean())
    random = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        low, high = interval(photographs(random, 60).drawn["miou"])
        held += low <= true <= high
    assert 0.85 * 200 <= held <= 0.95 * 200


def test_the_draws_are_those_of_a_plain_recomputation() -> None:
    random = np.random.default_rng(3)
    images = []
    for _ in range(5):  # class 3 is in no target, classes 1 and 2 in some
        target = random.choice(np.array([-1, 0, random.integers(1, 3)]), (40, 50)).astype(np.int32)
        images.append((random.integers(-1, CLASSES, target.shape, dtype=np.int32), target))
    rows = []
    for given, target in images:
        metrics = SegmentationMetrics(CLASSES)
        metrics.update(given, target)
        rows.append(metrics.to_row())
    drawn = ImageCounts.of(rows, CLASSES).drawn
    assert tuple(drawn) == DRAWN_FIGURES

    draws = np.random.default_rng(0).integers(0, len(images), (DRAWS, len(images)))
    for place in (*range(40), DRAWS - 1):
        plain = SegmentationMetrics(CLASSES)
        for index in draws[place]:
            plain.update(*images[index])
        figures = plain.figures()
        shown = plain.confusion.present
        iou = plain.confusion.iou()
        figures["miou"] = np.where(np.isnan(iou), 0, iou)[shown | [False, False, False, True]].mean()
        for name, values in drawn.items():
            assert values[place] == pytest.approx(figures[name], nan_ok=True), name


def test_a_class_of_one_photograph_does_not_pull_the_draws_below_the_figure() -> None:
    pixels = np.zeros((30, 3, 3), np.int64)
    pixels[:, 0] = 50, 100, 60
    pixels[3, 1] = 90, 100, 100
    pixels[1:, 1, 2] += 5  # which is given in the others as well
    pixels[4, 2] = 80, 100, 80
    nothing = np.zeros((30, 3, 2), np.int64)
    low, high = interval(ImageCounts(pixels, nothing, nothing).drawn["miou_present"])
    hits, there, given = pixels.sum(axis=0).T
    assert low <= (hits / (there + given - hits)).mean() <= high


def test_nothing_to_average() -> None:
    nothing = ImageCounts(*(np.zeros((2, 1, size), np.int64) for size in (3, 2, 2)))
    assert all(np.isnan(ends).all() for ends in nothing.intervals().values())
