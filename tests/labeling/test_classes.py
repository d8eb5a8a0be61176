"""Scores of classes, by hand, and the hubness of real words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from fmbseg.labeling.classes import Classes
from fmbseg.models.hubness import hubness_of
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from fmbseg.models.image_text.conse import Conse


def test_hubness_is_the_mean_of_the_nearest() -> None:
    reference = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # similarities 1, 0.6, 0, -1 and 0, 0.8, 1, 0
    torch.testing.assert_close(hubness_of(prototypes, reference, 2), torch.tensor([0.8, 0.9]))
    torch.testing.assert_close(hubness_of(prototypes, reference, 99), torch.tensor([0.15, 0.45]))


def test_scores_are_similarities_less_offsets() -> None:
    classes = Classes(torch.eye(2), torch.tensor([0.5, 0.0]))
    vectors = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    torch.testing.assert_close(classes.scores(vectors), torch.tensor([[[0.5, 0.0], [0.1, 0.8]]]))
    torch.testing.assert_close(classes.of([1]).scores(vectors), torch.tensor([[[0.0], [0.8]]]))


def test_without_weight_there_are_no_offsets(conse_encoder: Conse) -> None:
    words = Vocabulary.of(["zebra", "thing"])
    plain = Classes.embed(conse_encoder, words)
    assert plain.offsets.tolist() == [0, 0]
    torch.testing.assert_close(plain.prototypes, embed_vocabulary(conse_encoder, words))


@pytest.mark.long
def test_offsets_of_real_words_are_the_weighted_hubness(conse_encoder: Conse) -> None:
    words = Vocabulary.of(["zebra", "dog", "person"])
    found = Classes.embed(conse_encoder, words, hubness=0.4)
    reference = embed_vocabulary(conse_encoder, Vocabulary.of("imagenet1k"))
    similarity = (found.prototypes @ reference.T).numpy()
    similarity.sort(axis=1)
    expected = 0.4 * similarity[:, -10:].mean(axis=1)
    torch.testing.assert_close(found.offsets, torch.from_numpy(expected))
    zebra, dog, _ = found.offsets.tolist()
    assert dog > zebra  # among the names of ImageNet are more than a hundred dogs
