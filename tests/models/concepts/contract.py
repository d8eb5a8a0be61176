"""What every concept model must do: derive a test class and give it the fixture ``model``."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.models.contracts import ConceptModel, ConceptPrompter
from tests.models.photographs import photograph

WORDS = ["cat", "red bus", "coffee cup", "rocket", "a very long sofa"]


class ConceptModelContract:
    """Battery for one concept model; the fixture ``model`` returns it, small enough for a CPU."""

    def test_fulfils_the_protocol_and_says_what_it_is(self, model: ConceptModel) -> None:
        assert isinstance(model, ConceptModel)
        assert isinstance(model.begin(photograph("chelsea.png")[:40, :40]), ConceptPrompter)
        assert model.spec
        assert model.license

    @pytest.mark.parametrize("size", [(1, 1), (3, 200), (97, 131)])
    def test_every_word_is_answered_at_the_size_of_the_photograph(
        self, model: ConceptModel, size: tuple[int, int]
    ) -> None:
        image = np.ascontiguousarray(photograph("chelsea.png")[: size[0], : size[1]])
        found = list(model.begin(image).find(WORDS))
        assert len(found) == len(WORDS)
        for concept in found:
            assert 0 <= concept.presence <= 1
            assert concept.masks.size == size
            scores = concept.masks.predicted_iou
            assert ((scores >= 0) & (scores <= 1)).all()
            assert (np.diff(scores) <= 0).all()
            if concept.semantic is not None:
                assert concept.semantic.shape == size
                assert concept.semantic.dtype == np.float32
                assert 0 <= concept.semantic.min() <= concept.semantic.max() <= 1

    def test_words_are_answered_in_their_order(self, model: ConceptModel) -> None:
        prompter = model.begin(np.ascontiguousarray(photograph("chelsea.png")[:97, :131]))
        together = [concept.presence for concept in prompter.find(WORDS)]
        alone = [next(iter(prompter.find([word]))).presence for word in WORDS]
        assert together == pytest.approx(alone, abs=1e-5)
        assert [one.presence for one in prompter.find(WORDS[::-1])] == pytest.approx(alone[::-1], abs=1e-5)

    def test_no_word_is_no_answer(self, model: ConceptModel) -> None:
        assert list(model.begin(photograph("chelsea.png")[:40, :40]).find([])) == []

    def test_a_word_that_says_nothing_is_refused_by_name(self, model: ConceptModel) -> None:
        with pytest.raises(ValueError, match="'  '"):
            list(model.begin(photograph("chelsea.png")[:40, :40]).find(["cat", "  "]))
