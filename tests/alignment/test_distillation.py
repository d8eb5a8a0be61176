import math

import pytest
import torch
from torch.nn import functional

from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.alignment.distillation import OldVocabulary, joined_vocabulary
from fmbseg.vocabulary import Vocabulary
from tests.alignment.grids import PROTOTYPES, features_of, make_examples, make_head

WORDS = Vocabulary.of(["a", "b", "c"])


def test_the_divergence_is_that_of_the_softmax_over_the_old_words() -> None:
    head, examples = make_head(), make_examples(2)
    old = OldVocabulary(head, Prototypes(WORDS, PROTOTYPES), temperature=0.5)
    features = [features_of(example) for example in examples]

    def patches(of: AlignmentHead) -> torch.Tensor:
        return torch.cat([of(each)[0].flatten(1).T for each in features])

    with torch.no_grad():
        before = patches(head)
        head.project.weight += 0.1 * torch.randn(head.project.weight.shape)  # the copy does not follow
        after, kept = patches(head), patches(old.head)
    assert old.divergence(kept, before).item() == pytest.approx(0, abs=1e-5)
    p, q = (each @ PROTOTYPES.T / 0.5 for each in (before, after))
    expected = functional.kl_div(q.log_softmax(1), p.softmax(1), reduction="sum").item()
    assert old.divergence(kept, after).item() == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


def test_one_patch_by_hand() -> None:
    """The old head sees word a; one that sees word b, at temperature 1, is (e - 1) / (e + 1) nats away."""
    words = Prototypes(Vocabulary.of(["a", "b"]), torch.eye(2))
    head = AlignmentHead(in_dim=3, out_dim=2, kind="linear")
    one, other = torch.eye(2)[:, None]
    found = OldVocabulary(head, words, 1.0).divergence(one, other)
    assert found.item() == pytest.approx((math.e - 1) / (math.e + 1))


def test_what_an_old_class_shares_with_the_new_ones_is_the_new_ones() -> None:
    old = Vocabulary(
        names=("cat", "background", "mug", "tree"),
        prompts=(("cat", "kitten"), ("wall",), ("cup",), ("tree",)),
        background=frozenset({1}),
        templates=("{}",),
    )
    new = Vocabulary(names=("cup", "lawn"), background=frozenset({1}), templates=("a photo of a {}.",))
    joined = joined_vocabulary(old, new)
    assert joined.names == ("cup", "lawn", "cat", "background", "tree")
    assert joined.prompts[2] == ("cat", "kitten")
    assert joined.background == {1, 3}
    assert joined.templates == new.templates
