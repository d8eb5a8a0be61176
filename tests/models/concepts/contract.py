"""What every concept model must do: derive a test class and give it the fixture ``model``."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg.models.contracts import Concept, ConceptModel, ConceptPrompter
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = ["cat", "red bus", "coffee cup", "rocket", "a very long sofa"]
IN_FLIGHT = 16
"""Words that a model may be at work on at once, however many there are."""


class ConceptModelContract:
    """Battery for one concept model; the fixture ``model`` returns it, small enough for a CPU.

    Attributes:
        encodes: method of the model or of its parts that encodes a photograph, by its path from the model,
            for example ``"begin"``.
        reads: the same of a text; ``None`` where texts are read together with the photograph.
        limited: whether there are texts too long for it.
    """

    encodes: str
    reads: str | None = None
    limited = True

    def test_fulfils_the_protocol_and_says_what_it_is(self, model: ConceptModel) -> None:
        assert isinstance(model, ConceptModel)
        assert isinstance(model.begin(cut((40, 40))), ConceptPrompter)
        assert model.spec
        assert model.license

    @pytest.mark.parametrize("size", [(1, 1), (3, 200), (97, 131)])
    def test_every_word_is_answered_at_the_size_of_the_photograph(
        self, model: ConceptModel, size: tuple[int, int]
    ) -> None:
        found = list(model.begin(cut(size)).find(WORDS))
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

    def test_many_words_at_once_are_one_word_at_a_time_in_their_order(self, model: ConceptModel) -> None:
        prompter = model.begin(cut((97, 131)))
        alone = [next(iter(prompter.find([word]))) for word in WORDS]
        for order in (slice(None), slice(None, None, -1)):
            for found, wanted in zip(prompter.find(WORDS[order]), alone[order], strict=True):
                assert_same(found, wanted)

    def test_a_photograph_is_encoded_once_and_a_word_read_once(
        self, model: ConceptModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoded = counted(monkeypatch, model, self.encodes)
        read = counted(monkeypatch, model, self.reads) if self.reads else []
        words = [*WORDS, *WORDS]
        prompter = model.begin(cut((40, 40)))
        for asked in (words[:1], words):
            assert len(list(prompter.find(asked))) == len(asked)
        assert len(encoded) == 1
        assert len(read) <= len(WORDS)
        before = len(read)
        list(model.begin(cut((30, 40))).find(words))
        assert len(encoded) == 2
        assert len(read) == before  # for every photograph

    def test_memory_does_not_grow_with_the_number_of_words(self, model: ConceptModel) -> None:
        words = Taken([f"{word} {other}" for word in WORDS for other in WORDS * 2])
        alive: weakref.WeakSet[Any] = weakref.WeakSet()
        for count, concept in enumerate(model.begin(cut((12, 16))).find(words), start=1):
            alive.add(concept.masks)
            assert len(words.taken) < count + IN_FLIGHT
            assert len(alive) <= IN_FLIGHT
        assert len(words.taken) == count == len(words) == 50

    def test_no_word_is_no_answer(self, model: ConceptModel) -> None:
        assert list(model.begin(cut((40, 40))).find([])) == []

    def test_a_word_that_cannot_be_read_is_refused_by_name(self, model: ConceptModel) -> None:
        prompter = model.begin(cut((40, 40)))
        with pytest.raises(ValueError, match="'  '"):
            list(prompter.find(["cat", "  "]))
        if self.limited:
            with pytest.raises(ValueError, match="cat cat cat"):
                list(prompter.find(["cat", "cat " * 600]))


class Taken(Sequence[str]):
    """Words that know which of them were taken, one by one or in slices."""

    def __init__(self, words: list[str]) -> None:
        self._words, self.taken = words, set[int]()

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, index: Any) -> Any:
        self.taken |= set(np.atleast_1d(np.arange(len(self._words))[index]).tolist())
        return self._words[index]


def cut(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A part of a photograph (H, W, 3), larger than which there is none here."""
    return np.ascontiguousarray(photograph("chelsea.png")[: size[0], : size[1]])


def counted(monkeypatch: pytest.MonkeyPatch, model: Any, path: str) -> list[None]:
    """A list that grows with every call of a method of the model."""
    *parts, name = path.split(".")
    owner = reduce(getattr, parts, model)
    original, calls = getattr(owner, name), list[None]()

    def method(*args: Any, **given: Any) -> Any:
        calls.append(None)
        return original(*args, **given)

    monkeypatch.setattr(owner, name, method)
    return calls


def assert_same(one: Concept, other: Concept, tolerance: float = 1e-5) -> None:
    """Presence, scores and maps are the same within the tolerance; masks are but for ties."""
    assert one.presence == pytest.approx(other.presence, abs=tolerance)
    np.testing.assert_allclose(one.masks.predicted_iou, other.masks.predicted_iou, atol=tolerance)
    assert (one.semantic is None) == (other.semantic is None)
    if one.semantic is not None and other.semantic is not None:
        np.testing.assert_allclose(one.semantic, other.semantic, atol=tolerance)
    differing = (one.masks.decode() != other.masks.decode()).mean() if len(one.masks) else 0
    assert differing < 1e-3
