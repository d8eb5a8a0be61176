"""Samplers: which points come when, worked out by hand."""

import numpy as np
import pytest
import torch

from fmbseg.models.mask_generators.sampling import (
    AdaptiveSampler,
    CoverSampler,
    GridSampler,
    Seen,
    coarse_to_fine,
    first_points,
    point_similarity,
)

NOTHING = np.zeros(0, np.float32)


def seen(likely: list[list[float]]) -> Seen:
    given = np.array(likely, np.float32)
    return Seen(given, np.zeros((0, given.shape[1]), np.bool_), NOTHING, NOTHING)


def test_the_grid_gives_every_point_in_order() -> None:
    sampler = GridSampler(3)
    assert [sampler.take(4).tolist() for _ in range(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8], []]


@pytest.mark.parametrize("per_side", [1, 2, 3, 7, 8, 12, 16, 32])
def test_from_coarse_to_fine_every_point_comes_once(per_side: int) -> None:
    assert sorted(coarse_to_fine(per_side)) == list(range(per_side**2))


@pytest.mark.parametrize(
    ("per_side", "count"), [(1, 1), (4, 1), (8, 1), (12, 1), (16, 4), (32, 16), (64, 64)]
)
def test_the_first_points_are_few_and_spread(per_side: int, count: int) -> None:
    assert len(first_points(per_side)) == count


def test_cover_leaves_out_points_in_masks_that_are_sure() -> None:
    sampler = CoverSampler(2, min_iou=0.8, min_stability=0.9)
    assert sampler.take(1).tolist() == [3]
    halves = np.array([[True, False, True, False], [False, True, False, True]])
    iou, stability = np.array([0.9, 0.8], np.float32), np.array([0.9, 1.0], np.float32)
    sampler.tell(Seen(np.zeros((1, 4), np.float32), halves, iou, stability))
    assert sampler.take(9).tolist() == [1]  # the right half's estimate is not above 0.8


def test_the_least_redundant_point_comes_first() -> None:
    similarity = np.array(
        [
            [1.0, 0.9, 0.2, 0.5],
            [0.9, 1.0, 0.3, 0.8],
            [0.2, 0.3, 1.0, 0.9],
            [0.5, 0.8, 0.9, 1.0],
        ],
        np.float32,
    )
    sampler = AdaptiveSampler(similarity, most=3)
    assert sampler.take(1).tolist() == [3]
    sampler.tell(seen([[1, 1, 0, 1]]))  # its mask holds all but point 2: redundancies 0.5, 0.8, 0
    assert sampler.take(1).tolist() == [2]
    sampler.tell(seen([[0.5, 1, 1, 1]]))  # half of 0.2 for point 0 and 0.3 for point 1: nothing is raised
    assert sampler.take(2).tolist() == [0]  # point 1 stays at 0.8, and three are tried
    sampler.tell(seen([[1, 0, 0, 0]]))
    assert sampler.take(1).tolist() == []


@pytest.mark.parametrize(("alone", "following"), [(0.86, 1), (0.87, 0)])
def test_points_that_agree_make_another_more_redundant_than_either_does(alone: float, following: int) -> None:
    """Two resemblances of 0.8 are (1 - (1 - 0.8^8)^2)^(1/8) = 0.8629 together."""
    similarity = np.eye(4, dtype=np.float32)
    similarity[[3, 2], 0], similarity[3, 1] = 0.8, alone
    sampler = AdaptiveSampler(similarity, most=4)
    for point in (3, 2):
        assert sampler.take(1).tolist() == [point]
        sampler.tell(seen([[1.0] * 4]))
    assert sampler.take(1).tolist() == [following]


@pytest.mark.parametrize(("alone", "first"), [(0.92, True), (0.925, False)])
def test_the_points_of_a_batch_all_count(alone: float, first: bool) -> None:
    """Four resemblances of 0.8 are (1 - (1 - 0.8^8)^4)^(1/8) = 0.9216 together."""
    similarity = np.full((256, 256), 0.8, np.float32)
    sampler = AdaptiveSampler(similarity, most=256)
    taken = sampler.take(4)
    similarity[taken, 0] = [alone, 0, 0, 0]
    sampler.tell(seen([[1.0] * 256] * 4))
    assert (sampler.take(1).tolist() == [0]) == first


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (7, 7), (16, 16), (99, 16)])
def test_so_many_points_are_tried_and_none_twice(most: int, expected: int) -> None:
    sampler = AdaptiveSampler(np.full((16, 16), 0.5, np.float32), most=most)
    taken: list[int] = []
    while len(batch := sampler.take(3)):
        taken += batch.tolist()
        sampler.tell(seen([[0.7] * 16] * len(batch)))
    assert len(set(taken)) == len(taken) == expected


def test_similarity_is_whitened_and_does_not_see_what_all_share() -> None:
    """Two directions of strengths 4 and 2: over 4^0.75 and 2^0.75 their squares are as sqrt 2 to 1."""
    features = torch.tensor([[2.0, 1.0], [2.0, -1.0], [-2.0, 1.0], [-2.0, -1.0]]) + 100
    cosine = (2**0.5 - 1) / (2**0.5 + 1)
    similarity = point_similarity(features)
    np.testing.assert_allclose(similarity[0], [1, (1 + cosine) / 2, (1 - cosine) / 2, 0], atol=1e-5)


def test_points_that_all_look_alike_give_numbers() -> None:
    assert np.isfinite(point_similarity(torch.ones(4, 8))).all()
    assert point_similarity(torch.ones(1, 8)).shape == (1, 1)
