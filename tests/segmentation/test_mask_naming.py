"""Naming masks by their means, by hand and against a plain loop over masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.labeling.classes import Classes
from fmbseg.labeling.mask_naming import name_masks
from fmbseg.mask_means import mask_means
from fmbseg.masks import MaskSet
from fmbseg.segment_settings import KnowledgePreservation, SecondLook
from fmbseg.segmentation.decoding import SecondMap, decode
from fmbseg.segmentation.mask_naming import Contest, decode_contest, decode_masks, paint_masks

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
    paint_masks(found, MASKS, decode_masks(MASKS, text_map, prototypes))
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
    named = decode_masks(MASKS, text_map, prototypes, second=second, top=3, temperature=0.1)
    paint_masks(found, MASKS, named)
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
    paint_masks(found, whole, decode_masks(whole, text_map, words))
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
    paint_masks(found, MASKS, decode_masks(MASKS, text_map, prototypes))
    assert (found.labels == 4).all()
    torch.testing.assert_close(found.scores, torch.ones_like(found.scores))


def test_masks_of_another_image() -> None:
    text_map, prototypes = torch.eye(2)[:, None, :], torch.eye(2)
    found = decode(text_map, prototypes, SIZE)
    with pytest.raises(ValueError, match=r"masks are of an image of \(3, 4\), the class map is \(24, 32\)"):
        paint_masks(found, MaskSet.empty((3, 4)), found)


class Sights:
    """Stands for what an image-text model sees of cut-outs: a vector for each mask, known by its area."""

    def __init__(self, by_area: dict[int, torch.Tensor]) -> None:
        self.by_area, self.seen = by_area, list[int]()

    def of(self, image: np.ndarray, masks: MaskSet) -> torch.Tensor:
        assert image.shape == (*SIZE, 3)
        self.seen += masks.areas.tolist()
        return torch.stack([self.by_area[area] for area in masks.areas.tolist()])


def contest(background: list[bool], look: SecondLook, by_area: dict[int, torch.Tensor]) -> Contest:
    sights: Any = Sights(by_area)
    return Contest(torch.tensor(background), look, np.zeros((*SIZE, 3), np.uint8), sights)


def test_a_second_look_by_hand() -> None:
    """One word and one of the background, and a constant in the third dimension: 0.1 is taken off the word.

    By the map the word's leads are 0.5, 0.05, 0, -0.15 and -0.4, and 0.05 for the mask that is too large. Of
    those that are looked at, the second and third have leads of 0.3 and 0.2 by the cut-outs: in the mean
    0.175 is above 0.125, 0.1 is not; the fourth has 0.45, and 0.15 is.
    """
    leads = torch.tensor([0.5, 0.05, 0.0, -0.15, -0.4, 0.05], dtype=torch.float64)
    text_map = torch.zeros(3, 1, 6, dtype=torch.float64)
    text_map[0, 0], text_map[2, 0] = leads + 0.1, 1
    words = torch.tensor([[0, 1, 0], [1, 0, -0.1]], dtype=torch.float64)  # the background's comes first
    masks = np.zeros((6, *SIZE), dtype=bool)
    for index, rows in enumerate((1, 2, 3, 4, 5, 24)):  # in a cell's five columns each, so areas differ
        masks[index, :rows, round(index * 32 / 6) + 1 : round((index + 1) * 32 / 6) - 1] = True
    areas = masks.sum(axis=(1, 2)).tolist()
    by_area = {
        areas[1]: torch.tensor([0.5, 0.2], dtype=torch.float64),
        areas[2]: torch.tensor([0.4, 0.2], dtype=torch.float64),
        areas[3]: torch.tensor([0.5, 0.05], dtype=torch.float64),
    }
    look = SecondLook(margin=0.125, uncovered=0.03, near=0.2, largest=areas[5] / (24 * 32))
    over = contest([True, False], look, by_area)
    six = MaskSet.from_masks(masks)
    found = decode_masks(six, text_map, words, contest=over)
    assert over.cutouts.seen == areas[1:4]  # type: ignore[attr-defined]
    assert found.labels.tolist() == [[1, 1, 0, 1, 0, 0]]
    # Of those that are looked at, the mean of the map's score and the cut-out's.
    expected = [0.5, (0.05 + 0.5) / 2, (0.0 + 0.2) / 2, (-0.15 + 0.5) / 2, 0.0, 0.0]
    assert found.scores[0].tolist() == pytest.approx(expected)
    pixels = decode_contest(text_map, words, (1, 6), over)
    assert pixels.labels.tolist() == [[1, 1, 0, 0, 0, 1]]  # ahead by more than 0.03
    assert pixels.scores[0].tolist() == pytest.approx([0.5, 0.05, 0, 0, 0, 0.05])


def test_a_second_look_is_the_plain_rule_on_random_masks() -> None:
    """Against the rule as it is written, the mean where the map's lead is small; of two maps."""
    random = torch.Generator().manual_seed(3)
    text_map, prototypes = unit(random, 6, 5, 7), unit(random, 6, 9).T.contiguous()
    second = SecondMap(unit(random, 6, 5, 7), KnowledgePreservation(weight=0.3))
    background = [False, True, False, True, True, False, False, True, False]
    vectors = unit(random, 6, len(MASKS)).T
    by_area = dict(zip(MASKS.areas.tolist(), vectors, strict=True))
    look = SecondLook(sure=0.05, margin=0.0, near=0.3, largest=1.0)
    over = contest(background, look, by_area)
    found = decode_masks(MASKS, text_map, prototypes, second=second, top=2, temperature=0.1, contest=over)
    first, other = (mask_means(MASKS, one) for one in (text_map, second.text_map))
    of_map, alone = (0.7 * first + 0.3 * other) @ prototypes.T, vectors @ prototypes.T
    means = np.array(background)
    looked = []
    for index in range(len(MASKS)):
        score, cut = of_map[index].numpy(), alone[index].numpy()
        lead = score[~means].max() - score[means].max()
        if -0.3 < lead <= 0.05:
            looked.append(index)
            score = (score + cut) / 2
            won = score[~means].max() - score[means].max() > 0
        else:
            won = lead > 0.05
        allowed = np.where(means == won, -np.inf, score)
        assert found.labels[0, index] == allowed.argmax()
        assert found.scores[0, index] == pytest.approx(allowed.max())
        assert found.top_labels is not None
        assert found.top_labels[:, 0, index].tolist() == np.argsort(-score)[:2].tolist()
    assert looked


def test_without_doubt_nothing_is_cut_out() -> None:
    text_map, words = torch.eye(2)[:, None, :], torch.eye(2)
    over = contest([True, False], SecondLook(), {})
    halves = MaskSet.from_masks(np.stack([np.arange(32) < 16, np.arange(32) >= 16])[:, None].repeat(24, 1))
    assert decode_masks(halves, text_map, words, contest=over).labels.tolist() == [[0, 1]]
