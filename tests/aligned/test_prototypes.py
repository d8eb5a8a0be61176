import pytest
import torch

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.vocabulary import Vocabulary

ANIMALS = Vocabulary.of({"cat": "cat", "kitten": "cat", "dog": "dog"})


def test_rows_come_in_the_order_asked_for() -> None:
    known = Prototypes(ANIMALS, torch.eye(2))
    found = known.of(Vocabulary.of({"dog": "hound", "cat": "cat", "kitten": "cat"}))
    assert found is not None
    assert found.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "other",
    [
        Vocabulary.of(["cat"]),  # without its alias the mean over the words is another vector
        Vocabulary.of(["dog", "sofa"]),
        Vocabulary.of(["dog"], templates=["a sketch of a {}."]),
    ],
)
def test_other_words_are_not_known(other: Vocabulary) -> None:
    assert Prototypes(ANIMALS, torch.eye(2)).of(other) is None


def test_one_vector_a_class() -> None:
    with pytest.raises(AlignedEncoderError, match=r"each of 2 classes; got \(3, 4\)"):
        Prototypes(ANIMALS, torch.eye(4)[:3])


@pytest.mark.parametrize("value", [0.0, 2.0, float("nan"), float("inf")])
def test_unit_vectors_only(value: float) -> None:
    vectors = torch.eye(2)
    vectors[1, 1] = value
    with pytest.raises(AlignedEncoderError, match="'dog' is not a finite vector of unit length"):
        Prototypes(ANIMALS, vectors)
