"""The seeded draw of Stage 1.2 masks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.stage1 import draw

PAPER = LabelingSettings()


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [
        (0, 0.75, 0),
        (1, 0.75, 1),
        (4, 0.75, 3),
        (8, 0.75, 6),
        (100, 0.75, 75),
        (7, 0.0, 0),
        (7, 1.0, 7),
        (9, 0.5, 4),
    ],
)
def test_the_fraction_is_exact(count: int, fraction: float, expected: int) -> None:
    kept = draw(count, "dog.jpg", LabelingSettings(keep_fraction=fraction))
    assert kept.shape == (count,)
    assert kept.dtype == np.bool_
    assert kept.sum() == expected


def test_seed_and_key_alone_decide() -> None:
    first = draw(40, "dog.jpg", PAPER)
    np.random.default_rng(5).random(100)  # other randomness does not matter
    assert np.array_equal(draw(40, "dog.jpg", PAPER), first)
    assert not np.array_equal(draw(40, "cat.jpg", PAPER), first)
    assert not np.array_equal(draw(40, "dog.jpg", LabelingSettings(seed=1)), first)


def test_every_mask_is_as_likely() -> None:
    draws = sum(draw(8, f"{index}.jpg", PAPER).astype(int) for index in range(2000))
    # 2,000 draws of probability 0.75: a standard deviation of 19.
    assert np.abs(np.asarray(draws) - 1500).max() < 5 * 19


def test_pairs_are_drawn_as_often_as_each_other() -> None:
    left_out = Counter(
        tuple(np.flatnonzero(~draw(4, f"{index}", LabelingSettings(keep_fraction=0.5))).tolist())
        for index in range(3000)
    )
    assert len(left_out) == 6
    assert max(abs(count - 500) for count in left_out.values()) < 5 * 21
