"""What an image-text model knows of a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from fmbseg.models.familiarity import HARDLY, look_up, told_of
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyImageText

if TYPE_CHECKING:
    from collections.abc import Sequence

# Angles in degrees; what is not named lies far from all of these, opposite to them.
ANGLES = {"dog": 0.0, "puppy": 10.0, "cat": 80.0, "person": 150.0, "elephnt": 155.0}


class OnACircle(TinyImageText):
    """Texts at known angles."""

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        words = [prompt.removeprefix("a photo of a ").removesuffix(".") for prompt in prompts]
        angles = torch.deg2rad(torch.tensor([ANGLES.get(word, 270.0) for word in words]))
        return F.pad(torch.stack([angles.cos(), angles.sin()], dim=1), (0, self.dim - 2))


class Trained(OnACircle):
    """That knows two names."""

    known_names = ("dog", "cat", "elephant")


def test_a_word_is_as_well_known_as_it_is_near_to_a_name() -> None:
    puppy, person, typo = look_up(Trained(), Vocabulary.of(["puppy", "person", "elephnt"]))
    assert puppy.nearest[0] == "dog"
    assert puppy.familiarity is not None
    assert abs(puppy.familiarity - 0.98481) < 1e-4  # the cosine of 10 degrees
    assert (puppy.hardly_known, person.hardly_known) == (False, True)
    assert person.familiarity is not None
    assert abs(person.familiarity - 0.34202) < 1e-4 < HARDLY  # of 70 degrees
    assert person.meant is None
    assert typo.meant == "elephant"
    assert (puppy.near, person.near) == ((), ("elephnt",))  # 5 degrees apart


def test_only_words_that_are_hardly_known_and_no_background_are_told_of() -> None:
    words = Vocabulary(("dog", "person", "elephnt", "sky"), background=frozenset({3}))
    first, second = told_of(Trained(), words)
    assert first == (
        'person: the image-text model "tiny-test" hardly knows this word (nearest: cat, elephant, dog); '
        "a recipe with CLIP does"
    )
    assert second.startswith("elephnt: ")
    many = Vocabulary.of(["dog", *(f"thing {n}" for n in range(4))])
    assert told_of(OnACircle(), many) == []
    assert told_of(Trained(), words, most=1)[1].startswith("1 more words are hardly known: `fmbseg words`")


def test_nothing_is_said_of_a_model_of_captions() -> None:
    dog, puppy = look_up(OnACircle(), Vocabulary.of(["dog", "puppy"]))
    assert (dog.familiarity, dog.nearest, dog.hardly_known, dog.near) == (None, (), False, ("puppy",))
    assert puppy.near == ("dog",)
