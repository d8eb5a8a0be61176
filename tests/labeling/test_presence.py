"""Votes of crops, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.certainty import CertaintyCurve
from fmbseg.labeling.classes import Classes
from fmbseg.labeling.presence import detect_classes, find_classes
from fmbseg.labeling.settings import LabelingSettings

VECTORS = torch.eye(4)
CLASSES = Classes.plain(VECTORS)


def crops(*classes: int) -> torch.Tensor:
    """Crops whose most similar class is given; the second best is another."""
    return F.normalize(VECTORS[list(classes)] + 0.4 * VECTORS[[(one + 1) % 4 for one in classes]], dim=1)


@pytest.mark.parametrize(
    ("votes", "min_crops", "expected"),
    [
        ((2, 0, 2, 0, 1), 1, (0, 1, 2)),
        ((2, 0, 2, 0, 1), 2, (0, 2)),  # the paper's "more than 1"
        ((2, 0, 2, 0, 1), 3, ()),
        ((3, 3, 3, 1, 1), 3, (3,)),
        ((0, 1, 2, 3), 2, ()),
        ((3,), 2, (3,)),  # one crop: it is all there is
        ((3, 3), 5, (3,)),  # fewer crops than are asked for: all of them
        ((3, 1), 5, ()),
    ],
)
def test_by_hand(votes: tuple[int, ...], min_crops: int, expected: tuple[int, ...]) -> None:
    assert detect_classes(crops(*votes), CLASSES, min_crops=min_crops) == expected


def test_the_paper_s_threshold_is_the_default() -> None:
    assert detect_classes(crops(2, 0, 2, 0, 1), CLASSES) == (0, 2)


def test_crops_that_are_not_similar_enough_have_no_vote() -> None:
    pooled = F.normalize(
        torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]), dim=1
    )
    assert detect_classes(pooled, CLASSES, min_crops=1, min_similarity=0.75) == (0, 1)
    assert detect_classes(pooled, CLASSES, min_crops=1, min_similarity=0.9) == (0,)


def test_a_class_with_an_offset_wins_fewer_crops_and_its_vote_needs_the_plain_similarity() -> None:
    pooled = F.normalize(torch.tensor([[0.8, 0.6, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]), dim=1)
    less = Classes(VECTORS, torch.tensor([0.3, 0.0, 0.0, 0.0]))  # 0.8 - 0.3 < 0.6, but 1.0 - 0.3 > 0
    assert detect_classes(pooled, CLASSES, min_crops=1) == (0,)
    assert detect_classes(pooled, less, min_crops=1) == (0, 1)
    assert detect_classes(pooled, less, min_crops=1, min_similarity=0.7) == (0,)


def test_how_likely_a_class_is_told_by_its_best_crop() -> None:
    pooled = torch.tensor([[0.8, 0.6, 0.0, 0.0], [0.28, 0.0, 0.96, 0.0]])
    votes = LabelingSettings(min_crops=1)
    assert np.isnan(find_classes(pooled, CLASSES, votes).likely).all()
    curve = CertaintyCurve((0.5, 1.0), (0.0, 1.0))
    told = replace(votes, presence_curve=curve)
    assert find_classes(pooled, CLASSES, told).detected == (0, 2)
    np.testing.assert_allclose(find_classes(pooled, CLASSES, told).likely, [0.6, 0.92], atol=1e-6)
    penalty = Classes(VECTORS, torch.tensor([0.0, 0.0, 0.4, 0.0]))
    np.testing.assert_allclose(find_classes(pooled, penalty, told).likely, [0.6, 0.12], atol=1e-6)
