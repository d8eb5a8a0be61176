"""Words to classes: what is asked for, what the result names, and what background is."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.segment_settings import Background
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabulary import Vocabulary

MARKED = Vocabulary(("sky", "cat", "wall", "dog"), background=frozenset({0, 2}))


def test_words_that_mean_background_are_one_class() -> None:
    classes = ResultClasses.of(MARKED, Background())
    assert classes.asked == MARKED
    assert classes.names == ("background", "cat", "dog")
    assert classes.result_of.tolist() == [0, 1, 0, 2]
    assert (classes.background, classes.rule) == (0, "2 words mean background")
    one = ResultClasses.of(Vocabulary.of("voc21"), Background())
    assert one.names == Vocabulary.of("voc21").names
    assert one.rule == "1 word means background"


@pytest.mark.parametrize("rule", ["similarity", "softmax"])
def test_a_threshold_leaves_the_marked_words_out(rule: str) -> None:
    classes = ResultClasses.of(MARKED, Background(rule, 0.25))  # type: ignore[arg-type]
    assert classes.asked.names == ("cat", "dog")
    assert classes.names == ("background", "cat", "dog")
    assert classes.result_of.tolist() == [1, 2]
    assert classes.rule == f"{rule} below 0.25"


def test_no_background() -> None:
    classes = ResultClasses.of(MARKED, Background("none"))
    assert (classes.asked.names, classes.names) == (("cat", "dog"), ("cat", "dog"))
    assert (classes.background, classes.rule) == (None, "none")
    plain = ResultClasses.of(Vocabulary.of(["cat", "background"]), Background())
    assert plain.names == ("cat", "background")  # a word like others, as it is not marked


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="all 2 classes mean background"):
        ResultClasses.of(Vocabulary(("a", "b"), background=frozenset({0, 1})), Background())
    with pytest.raises(ValueError, match="mark it as background"):
        ResultClasses.of(Vocabulary.of(["cat", "background"]), Background("similarity", 0.1))


def test_thresholds_by_name() -> None:
    classes = ResultClasses.of(MARKED, Background())
    assert classes.thresholds({}) is None
    least = classes.thresholds({"dog": 0.5})
    assert least is not None
    assert least.tolist() == [-float("inf"), -float("inf"), 0.5, -float("inf")]
    with pytest.raises(UnknownNameError, match="did you mean 'dog'"):
        classes.thresholds({"dogs": 0.5})


def test_common_words_compete_where_the_vocabulary_marks_none() -> None:
    classes = ResultClasses.of(Vocabulary.of({"trees": "tree", "lawn": "lawn"}), Background("common"))
    assert classes.names == ("background", "tree", "lawn")
    assert classes.result_of.tolist() == [1, 2]
    assert classes.common is not None
    assert {"sky", "grass"} <= set(classes.common.names)
    assert not {"tree", "lawn"} & set(classes.common.names)  # by their nouns, whatever a model says of them
    names = classes.common.names
    beside = classes.with_common(np.array([name in ("sky", "sand") for name in names]))
    assert beside.asked.names == ("tree", "lawn", "sand", "sky")
    assert beside.asked.prompts[0] == ("trees",)
    assert (beside.result_of.tolist(), beside.rule) == ([1, 2, 0, 0], "2 common words mean background")
    none = classes.with_common(np.zeros(len(names), np.bool_))
    assert (none.asked.names, none.background) == (("tree", "lawn"), 0)
    assert ResultClasses.of(MARKED, Background("common")).names == ("background", "cat", "dog")
    own = ResultClasses.of(Vocabulary.of(["cat", "background"]), Background("common"))
    assert (own.names, own.common) == (("cat", "background"), None)
