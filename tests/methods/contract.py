"""What every method must do: derive a test class and give it the fixture ``spec``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.method import Method, TakesClasses
from fmbseg.methods import ModelPool, load_method
from fmbseg.segment_settings import Background, SegmentSettings
from fmbseg.vocabulary import Vocabulary
from tests.labeling.colours import painted
from tests.methods.tiny import ASKED

if TYPE_CHECKING:
    from fmbseg.results import Segmentation

WORDS = Vocabulary.of(["red", "green", "blue"])
IMAGE = painted((64, 96), red=(slice(0, 64), slice(0, 48)), green=(slice(0, 32), slice(48, 96)))
PLAIN = SegmentSettings(background=Background("none"), certainty=0.0, hubness=0.0)


def loaded(spec: str, pool: ModelPool | None = None) -> Method:
    return load_method(spec, pool or ModelPool(device="cpu"))


def asked(method: Method, words: Vocabulary = WORDS, settings: SegmentSettings = PLAIN) -> Segmentation:
    if isinstance(method, TakesClasses):
        present = tuple(range(min(2, len(words))))
        return method.segment_known(IMAGE.copy(), words, present, settings=settings)
    return method.segment(IMAGE.copy(), words, settings=settings)


class MethodContract:
    """Battery for one method."""

    def test_it_says_what_it_is(self, spec: str) -> None:
        method = loaded(spec)
        assert isinstance(method, Method)
        assert method.spec == spec
        assert method.license
        assert all(isinstance(model, str) for model in method.models)
        assert json.loads(json.dumps(method.describe()))

    def test_its_spec_makes_it_again(self, spec: str) -> None:
        method = loaded(spec)
        again = loaded(method.spec)
        assert again.describe() == method.describe()
        np.testing.assert_array_equal(asked(again).labels, asked(method).labels)

    def test_a_class_for_each_pixel_of_the_image(self, spec: str) -> None:
        result = asked(loaded(spec))
        assert result.labels.shape == IMAGE.shape[:2]
        assert result.names == WORDS.names

    def test_one_encode_however_many_words_and_words_may_change(self, spec: str) -> None:
        method = loaded(spec)
        counts = []
        for many in (3, 40, 3):
            ASKED.clear()
            words = Vocabulary.of([*WORDS, *(f"word {index}" for index in range(many - 3))])
            assert asked(method, words).names == words.names
            counts.append({name: ASKED[name] for name in ("crops", "windows", "images")})
        assert counts[0] == counts[1] == counts[2]
        assert counts[0]["images"] <= 1

    def test_background_that_counts_comes_first(self, spec: str) -> None:
        words = Vocabulary(("red", "green", "blue"), background=frozenset({2}))
        result = asked(loaded(spec), words, SegmentSettings(certainty=0.0, hubness=0.0))
        assert result.names == ("background", "red", "green")

    def test_beside_others_it_answers_the_same(self, spec: str) -> None:
        alone = asked(loaded(spec)).labels
        pool = ModelPool(device="cpu")
        methods = [loaded(one, pool) for one in ("dense:counted-colours", "stage1:colours", spec)]
        image = IMAGE.copy()
        for method in methods[:2]:
            method.segment(image, WORDS, settings=PLAIN)
        last = methods[2]
        if isinstance(last, TakesClasses):
            result = last.segment_known(image, WORDS, (0, 1), settings=PLAIN)
        else:
            result = last.segment(image, WORDS, settings=PLAIN)
        np.testing.assert_array_equal(result.labels, alone)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe ``colours``."""
    from fmbseg.recipes import RECIPES
    from tests.methods.tiny import RECIPE

    monkeypatch.setitem(RECIPES, "colours", RECIPE)
