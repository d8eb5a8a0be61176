"""Decoding in blocks against torch's own up-sampling of everything at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.segmentation.decoding import decode


def unit(*shape: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=dim)


@given(
    seed=st.integers(0, 10_000),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    classes=st.integers(1, 12),
    block_values=st.integers(1, 5000),
)
@settings(deadline=None, max_examples=120)
def test_the_same_as_up_sampling_every_class(
    seed: int, grid: tuple[int, int], size: tuple[int, int], classes: int, block_values: int
) -> None:
    text_map = unit(5, *grid, dim=0, seed=seed)
    prototypes = unit(classes, 5, dim=1, seed=seed + 1)
    similarity = torch.einsum("kd,dhw->khw", prototypes, text_map)
    whole = F.interpolate(similarity[None], size, mode="bilinear", align_corners=False)[0]

    labels, scores = decode(text_map, prototypes, size, block_values=block_values)

    assert labels.shape == scores.shape == size
    torch.testing.assert_close(scores, whole.max(dim=0).values, rtol=0, atol=2e-5)
    # Where two classes are equal but for rounding, either may win: the winner's score must be the best.
    torch.testing.assert_close(whole.gather(0, labels[None])[0], scores, rtol=0, atol=2e-5)
    top = whole.topk(min(2, classes), dim=0).values
    clear = (top[0] - top[-1] > 1e-4) | (classes == 1)
    assert torch.equal(labels[clear], whole.argmax(dim=0)[clear])


@given(st.integers(1, 400))
def test_blocks_do_not_change_a_bit(block_values: int) -> None:
    text_map, prototypes = unit(4, 5, 6, dim=0, seed=1), unit(7, 4, dim=1, seed=2)
    whole = decode(text_map, prototypes, (37, 23))
    parts = decode(text_map, prototypes, (37, 23), block_values=block_values)
    assert torch.equal(whole.labels, parts.labels)
    assert torch.equal(whole.scores, parts.scores)


def test_of_equal_classes_the_first_wins() -> None:
    text_map = torch.ones(1, 2, 2)
    labels, scores = decode(text_map, torch.tensor([[0.5], [1.0], [1.0]]), (5, 3))
    assert (labels == 1).all()
    assert (scores == 1.0).all()


def test_weights_by_hand() -> None:
    # Two cells over four pixels: centres at -0.25 (clamped to 0), 0.25, 0.75 and 1.25 (clamped to 1).
    text_map = torch.tensor([[[1.0, 0.0]]])
    scores = decode(text_map, torch.ones(1, 1), (1, 4)).scores
    assert scores.tolist() == [[1.0, 0.75, 0.25, 0.0]]


def test_the_map_of_one_cell_fills_the_image() -> None:
    labels, scores = decode(torch.tensor([[[0.0]], [[1.0]]]), torch.eye(2), (3, 4))
    assert (labels == 1).all()
    assert (scores == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_have_the_type_of_the_map(dtype: torch.dtype) -> None:
    result = decode(torch.ones(1, 2, 2, dtype=dtype), torch.ones(1, 1, dtype=dtype), (2, 2))
    assert result.scores.dtype == dtype
    assert result.labels.dtype == torch.int64
