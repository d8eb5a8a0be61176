import pytest
from open_clip import OPENAI_IMAGENET_TEMPLATES

from fmbseg.vocabularies import templates_of
from fmbseg.vocabulary import Vocabulary


def test_the_80_are_clips() -> None:
    assert templates_of("clip80") == tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def test_a_vocabulary_takes_templates_by_name_or_as_they_are() -> None:
    names = ["cat", "dog"]
    assert len(Vocabulary.of(names, templates="clip80").texts()) == 160
    assert Vocabulary.of(names, templates="simple") == Vocabulary.of(names)
    assert Vocabulary.of(names, templates=["the {}"]).texts() == [(0, "the cat"), (1, "the dog")]


def test_a_name_that_is_none_and_a_lone_sentence_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no list of templates 'clip8'; did you mean 'clip80'"):
        Vocabulary.of(["cat"], templates="clip8")
    with pytest.raises(ValueError, match="templates is a list"):
        Vocabulary.of(["cat"], templates="a {}")
