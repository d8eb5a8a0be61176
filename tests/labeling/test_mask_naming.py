"""Naming masks, against a plain loop over cells and pixels."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.labeling.classes import Classes
from fmbseg.labeling.mask_naming import name_masks, own_names
from fmbseg.mask_means import mask_means
from fmbseg.masks import MaskSet


def one_mask(size: tuple[int, int], *pixels: tuple[slice, slice]) -> MaskSet:
    masks = np.zeros((len(pixels), *size), dtype=np.bool_)
    for mask, area in zip(masks, pixels, strict=True):
        mask[area] = True
    return MaskSet.from_masks(masks)


def test_a_cell_counts_by_the_part_covered() -> None:
    # Two cells of 4 x 4 pixels, x and y axis; the mask covers the first whole and half of the second.
    dense = torch.eye(2)[:, None, :]
    masks = one_mask((4, 8), (slice(0, 4), slice(0, 6)))
    expected = np.array([1.0, 0.5]) / 1.5
    np.testing.assert_allclose(mask_means(masks, dense)[0].numpy(), expected, rtol=1e-6)


def test_a_mask_smaller_than_a_cell_has_the_mean_of_its_cell() -> None:
    dense = F.normalize(torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0)), dim=0)
    masks = one_mask((64, 64), (slice(40, 41), slice(3, 4)))
    torch.testing.assert_close(mask_means(masks, dense)[0], dense[:, 1, 0])


def test_an_image_smaller_than_the_map() -> None:
    dense = F.normalize(torch.randn(3, 7, 7, generator=torch.Generator().manual_seed(0)), dim=0)
    masks = one_mask((1, 1), (slice(0, 1), slice(0, 1)))
    torch.testing.assert_close(mask_means(masks, dense)[0], dense.mean(dim=(1, 2)))


def by_loop(mask: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """Mean over cells, each weighted by the part of its pixels (rounded outwards) that the mask covers."""
    height, width = mask.shape
    _, rows, columns = dense.shape
    total = np.zeros(len(dense))
    for row in range(rows):
        for column in range(columns):
            top, bottom = row * height // rows, -(-(row + 1) * height // rows)
            left, right = column * width // columns, -(-(column + 1) * width // columns)
            total += mask[top:bottom, left:right].mean() * dense[:, row, column]
    return np.asarray(total / np.linalg.norm(total))


@given(
    seed=st.integers(0, 10_000),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
@settings(deadline=None, max_examples=60)
def test_the_same_as_a_plain_loop(seed: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    pixels = random.random((4, *size)) < 0.3
    pixels[:, 0, 0] = True
    dense = random.normal(size=(5, *grid))
    dense /= np.linalg.norm(dense, axis=0)
    prototypes = random.normal(size=(6, 5))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    detected = sorted(random.choice(6, 3, replace=False).tolist())

    names = name_masks(
        MaskSet.from_masks(pixels),
        torch.tensor(dense).float(),
        Classes.plain(torch.tensor(prototypes).float()),
        detected,
    )

    for mask, chosen, similarity in zip(pixels, names.class_ids, names.similarities, strict=True):
        scores = {index: float(prototypes[index] @ by_loop(mask, dense)) for index in detected}
        assert chosen in detected
        assert math.isclose(scores[int(chosen)], max(scores.values()), abs_tol=1e-4)
        assert math.isclose(similarity, scores[int(chosen)], abs_tol=1e-4)


def test_only_detected_classes_are_given() -> None:
    dense = torch.eye(3)[:, None, :]  # three cells, each exactly of one class
    masks = one_mask((2, 6), *((slice(0, 2), slice(left, left + 2)) for left in (0, 2, 4)))
    names = name_masks(masks, dense, Classes.plain(torch.eye(3)), [0, 1, 2])
    assert names.class_ids.tolist() == [0, 1, 2]
    assert names.similarities.tolist() == [1, 1, 1]
    tilted = F.normalize(torch.tensor([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.2, 1.0]]), dim=1)
    assert name_masks(masks, dense, Classes.plain(tilted), [0, 2]).class_ids.tolist() == [0, 2, 2]
    assert names.class_ids.dtype == np.int32


def test_no_mask() -> None:
    names = name_masks(MaskSet.empty((4, 4)), torch.eye(2)[:, None, :], Classes.plain(torch.eye(2)), [1])
    assert names.class_ids.shape == names.similarities.shape == (0,)


def test_offsets_decide_the_name_and_leave_the_similarity_as_it_is() -> None:
    dense = F.normalize(torch.tensor([[0.8], [0.6]]), dim=0)[:, None, :]
    masks = one_mask((2, 2), (slice(0, 2), slice(0, 2)))
    names = name_masks(masks, dense, Classes(torch.eye(2), torch.tensor([0.3, 0.0])), [0, 1])
    assert names.class_ids.tolist() == [1]
    np.testing.assert_allclose(names.similarities, [0.6], rtol=1e-6)


def test_masks_that_have_a_class_keep_it() -> None:
    dense = F.normalize(torch.tensor([[0.8], [0.6]]), dim=0)[:, None, :]
    masks = one_mask((2, 2), (slice(0, 2), slice(0, 2)))
    names = own_names(masks, dense, Classes.plain(torch.eye(2)), np.array([1], np.int32))
    assert names.class_ids.tolist() == [1]
    np.testing.assert_allclose(names.similarities, [0.6], rtol=1e-6)
