"""Means under masks, against a plain loop over the cells."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.mask_means import mask_means
from fmbseg.masks import MaskSet


@given(
    seed=st.integers(0, 10_000),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
@settings(max_examples=30, deadline=None)
def test_cells_count_by_the_part_that_is_covered(
    seed: int, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    random = np.random.default_rng(seed)
    masks = random.random((3, *size)) < 0.4
    masks[:, 0, 0] = True  # none is empty
    text_map = random.normal(size=(4, *grid)).astype(np.float32)
    found = mask_means(MaskSet.from_masks(masks), torch.from_numpy(text_map))
    for mask, mean in zip(masks, found.numpy(), strict=True):
        total, weights = np.zeros(4), 0.0
        for row in range(grid[0]):
            for column in range(grid[1]):
                top, bottom = row * size[0] // grid[0], -(-(row + 1) * size[0] // grid[0])
                left, right = column * size[1] // grid[1], -(-(column + 1) * size[1] // grid[1])
                part = mask[top:bottom, left:right].mean()
                total += part * text_map[:, row, column]
                weights += part
        np.testing.assert_allclose(mean, total / weights, rtol=1e-4, atol=1e-5)


def test_an_empty_mask_has_none() -> None:
    empty = MaskSet.from_masks(np.zeros((1, 4, 4), dtype=bool))
    assert mask_means(empty, torch.ones(2, 2, 2)).tolist() == [[0.0, 0.0]]
    assert mask_means(MaskSet.empty((4, 4)), torch.ones(2, 2, 2)).shape == (0, 2)
