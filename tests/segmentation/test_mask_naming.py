"""Naming masks by their means, by hand and against a plain loop over masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.labeling.classes import Classes
from fmbseg.labeling.mask_naming import name_masks
from fmbseg.mask_means import mask_means
from fmbseg.masks import MaskSet
from fmbseg.segment_settings import KnowledgePreservation
from fmbseg.segmentation.decoding import SecondMap, decode
from fmbseg.segmentation.mask_naming import paint_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = (24, 32)


def unit(random: torch.Generator, *shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=random, dtype=torch.float64), dim=0)


def boxes(*corners: tuple[int, int, int, int]) -> MaskSet:
    masks = np.zeros((len(corners), *SIZE), dtype=bool)
    for mask, (top, left, bottom, right) in zip(masks, corners, strict=True):
        mask[top:bottom, left:right] = True
    return MaskSet.from_masks(masks)


MASKS = boxes((2, 2, 5, 5), (0, 0, 12, 20), (4, 8, 22, 30), (23, 31, 24, 32))


def painted(arrays: Sequence[np.ndarray], of_masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays (..., H, W) with what the masks have (..., N), the largest mask first."""
    found = [array.copy() for array in arrays]
    for index in sorted(range(len(MASKS)), key=lambda one: -int(MASKS.areas[one])):
        for array, values in zip(found, of_masks, strict=True):
            array[..., MASKS.decode(index)] = values[..., index, None]
    return found


def test_masks_have_the_text_of_their_mean_and_pixels_between_keep_theirs() -> None:
    random = torch.Generator().manual_seed(0)
    text_map, prototypes = unit(random, 6, 5, 7), unit(random, 6, 9).T.contiguous()
    found = decode(text_map, prototypes, SIZE)
    before = [found.labels.numpy().copy(), found.scores.numpy().copy()]
    paint_masks(found, MASKS, text_map, prototypes)
    similarity = mask_means(MASKS, text_map) @ prototypes.T
    best = similarity.max(dim=1)
    labels, scores = painted(before, [best.indices.numpy(), best.values.numpy()])
    assert np.array_equal(found.labels.numpy(), labels)
    np.testing.assert_allclose(found.scores.numpy(), scores, rtol=1e-12)
    assert (labels != before[0]).any()


def test_the_best_few_the_softmax_and_a_second_map() -> None:
    random = torch.Generator().manual_seed(1)
    text_map, prototypes = unit(random, 6, 5, 7), unit(random, 6, 9).T.contiguous()
    second = SecondMap(unit(random, 6, 5, 7), KnowledgePreservation(weight=0.3))
    found = decode(text_map, prototypes, SIZE, second=second, top=3, temperature=0.1)
    assert found.top_labels is not None
    assert found.top_scores is not None
    assert found.log_sum is not None
    before = [one.numpy().copy() for one in (found.top_labels, found.top_scores, found.log_sum)]
    paint_masks(found, MASKS, text_map, prototypes, second=second, top=3, temperature=0.1)
    first, other = (mask_means(MASKS, one) for one in (text_map, second.text_map))
    similarity = 0.7 * first + 0.3 * other
    similarity = similarity @ prototypes.T
    values, indices = similarity.topk(3, dim=1)
    log_sum = (similarity / 0.1).logsumexp(dim=1)
    expected = painted(before, [indices.T.numpy(), values.T.numpy(), log_sum.numpy()])
    assert np.array_equal(found.top_labels.numpy(), expected[0])
    np.testing.assert_allclose(found.top_scores.numpy(), expected[1], rtol=1e-12)
    np.testing.assert_allclose(found.log_sum.numpy(), expected[2], rtol=1e-12)
    assert np.array_equal(found.labels.numpy(), expected[0][0])


def test_what_is_taken_off_weighs_as_in_stage_1_by_hand() -> None:
    """The mask's mean is (0.5, 0.5, 0): 0.5 for the first word, less 0.3; 0.3 for the second, less 0.05.

    At unit length the first word would win: 0.707 - 0.3 against 0.424 - 0.05.
    """
    text_map = torch.zeros(4, 1, 2, dtype=torch.float64)
    text_map[0, 0, 0] = text_map[1, 0, 1] = 1
    text_map[3] = 1  # the same everywhere: times a word's offset
    words = torch.tensor([[1, 0, 0, -0.3], [0, 0.6, 0.8, -0.05]], dtype=torch.float64)
    found = decode(text_map, words, SIZE)
    whole = boxes((0, 0, *SIZE))
    paint_masks(found, whole, text_map, words)
    assert (found.labels == 1).all()
    torch.testing.assert_close(found.scores, torch.full(SIZE, 0.25, dtype=torch.float64))
    dense, offsets = text_map[:3], torch.tensor([0.3, 0.05], dtype=torch.float64)
    stage1 = name_masks(whole, dense, Classes(words[:, :3], offsets), [0, 1])
    assert stage1.class_ids.tolist() == [1]
    assert stage1.similarities.tolist() == pytest.approx([0.6 / 2**0.5])  # a cosine, for thresholds


def test_one_vector_everywhere_changes_nothing() -> None:
    random = torch.Generator().manual_seed(2)
    prototypes = unit(random, 6, 9).T.contiguous()
    text_map = prototypes[4][:, None, None].expand(-1, 5, 7)
    found = decode(text_map, prototypes, SIZE)
    paint_masks(found, MASKS, text_map, prototypes)
    assert (found.labels == 4).all()
    torch.testing.assert_close(found.scores, torch.ones_like(found.scores))


def test_no_masks_empty_masks_and_masks_of_another_image() -> None:
    text_map, prototypes = torch.eye(2)[:, None, :], torch.eye(2)
    found = decode(text_map, prototypes, SIZE)
    before = found.labels.clone()
    for none in (MaskSet.empty(SIZE), MaskSet.from_masks(np.zeros((2, *SIZE), dtype=bool))):
        paint_masks(found, none, text_map, prototypes)
        assert torch.equal(found.labels, before)
    with pytest.raises(ValueError, match=r"masks are of an image of \(3, 4\), the class map is \(24, 32\)"):
        paint_masks(found, MaskSet.empty((3, 4)), text_map, prototypes)
