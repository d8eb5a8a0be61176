"""Pseudo labels for certainty, by hand."""

from __future__ import annotations

import pytest
import torch

from fmbseg.models.hubness import hubness_of
from fmbseg.segmentation.agreement import View, gather_evidence

WORDS = torch.eye(4)[:2]
OTHERS = torch.eye(4)[2:]


def view(*cells: list[float]) -> View:
    """One row of cells, each by its similarity to two words and to two that were not asked for."""
    return View(torch.tensor(cells, dtype=torch.float32).T[:, None], WORDS, OTHERS)


def test_every_view_must_choose_the_word_and_none_prefer_another_by_far() -> None:
    first = view([0.5, 0.1, 0.9, 0], [0.5, 0.1, 0, 0], [0.1, 0.6, 0, 0], [0.1, 0.6, 0, 0])
    second = view([0.5, 0, 0, 0], [0.4, 0, 0.5, 0.55], [0.2, 0.1, 0, 0], [0, 0.3, 0.2, 0.51])
    found = gather_evidence(first, [second])
    assert found.words.tolist() == [[0, 0, 1, 1]]
    assert found.scores.ravel().tolist() == pytest.approx([0.5, 0.5, 0.6, 0.6])
    # the first view's own other words do not count; 0.55 is 0.15 above, 0.51 is 0.21 above
    assert found.agreed.tolist() == [[True, True, False, False]]
    third = view([0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0])
    assert gather_evidence(first, [second, third]).agreed.tolist() == [[False, True, False, False]]


def test_hubness_is_taken_off_words_and_others() -> None:
    near = torch.tensor([[0.6, 0.8, 0, 0], [0.0, 1, 0, 0]])
    one = View(torch.tensor([0.7, 0.7, 0.0, 0.1])[:, None, None], near, near[1:], hubness=0.5)
    score, other = one.scores((1, 1))
    assert score.flatten().tolist() == pytest.approx(
        [0.98 - 0.5 * hubness_of(near, near[1:])[0].item(), 0.7 - 0.5]
    )
    assert other.item() == pytest.approx(0.7 - 0.5)


def test_views_of_other_grids_are_brought_to_the_first() -> None:
    first = view([1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0])
    coarse = view([1, 0, 0, 0], [0, 1, 0, 0])
    assert gather_evidence(first, [coarse]).agreed.all()


def test_there_must_be_another_view() -> None:
    with pytest.raises(ValueError, match="needs another view"):
        gather_evidence(view([1, 0, 0, 0]), [])
