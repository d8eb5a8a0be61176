"""Precision and recall of the classes of images, by hand."""

from __future__ import annotations

import math

from benchmarks.quality_offline import PresenceScore


def test_counts_are_summed_over_images() -> None:
    score = PresenceScore()
    score.update(named=[1, 2, 2], there=[2])  # one of two right, the one there found
    score.update(named=[], there=[3, 4, 5])
    score.update(named=[0, 5], there=[0, 5])
    assert (score.hits, score.named, score.there) == (3, 4, 6)
    assert score.precision == 3 / 4
    assert score.recall == 3 / 6


def test_nothing_to_divide_by_is_nan() -> None:
    assert math.isnan(PresenceScore().precision)
    assert math.isnan(PresenceScore().recall)
