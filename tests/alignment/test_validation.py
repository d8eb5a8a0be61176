from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.examples import TrainingData, TrainingDataError, hold_out
from fmbseg.alignment.losses import LossOptions, tsupcon
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.training_example import TrainingExample
from fmbseg.alignment.validation import validate
from fmbseg.vocabulary import Vocabulary
from tests.alignment.grids import make_examples

WORDS = Vocabulary.of(["a", "b", "c"])


class Given(nn.Module):
    """A head that takes the features for the answer, and remembers whether it was in training mode."""

    attends = False

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training)
        return features


def example(labels: list[int]) -> TrainingExample:
    return TrainingExample(Path("x"), "0", (8, 8), np.array([labels], np.int16))


def test_accuracy_and_miou_are_counted_over_all_photographs() -> None:
    """Found 0 0 1 | 2 1 where 0 1 1 | 0 none is labelled; class 2 has no labelled patch, so no IoU."""
    answers = {0: [0, 0, 1], 1: [2, 1]}
    examples = [example([0, 1, 1]), example([0, -1])]

    def features(one: TrainingExample) -> torch.Tensor:
        return torch.eye(3)[answers[0 if one is examples[0] else 1]].T[None, :, None]

    head = Given()
    objective = Objective(features, torch.eye(3), TrainingSettings(batch_size=1))
    score = validate(head, examples, objective)  # type: ignore[arg-type]
    assert score is not None
    assert score.accuracy == pytest.approx(2 / 4)
    # Class 0: 1 right, 2 labelled, 2 found. Class 1: 1 right, 2 labelled, 1 found.
    assert score.miou == pytest.approx((1 / 3 + 1 / 2) / 2)
    losses = [
        tsupcon(torch.eye(3)[found], torch.tensor(labels), torch.eye(3), LossOptions(temperature=0.07)).item()
        for found, labels in (([0, 0, 1], [0, 1, 1]), ([2], [0]))
    ]
    assert score.loss == pytest.approx(sum(losses) / 2)
    assert head.modes == [False, False]
    assert head.training


def test_none_held_out_is_no_score() -> None:
    objective = Objective(lambda _: torch.zeros(1), torch.eye(3), TrainingSettings())
    assert validate(AlignmentHead(12, 3), [], objective) is None


def test_the_seed_draws_the_part_that_is_held_out() -> None:
    data = TrainingData(WORDS, tuple(make_examples(10)), 0)
    settings = TrainingSettings(validation=0.3)
    found = hold_out(data, settings)
    names = [one.sha256 for one in found.held_out]
    assert (len(found.examples), len(names)) == (7, 3)
    assert sorted([*names, *(one.sha256 for one in found.examples)]) == [str(index) for index in range(10)]
    assert names == [one.sha256 for one in hold_out(data, settings).held_out]
    others = [
        [one.sha256 for one in hold_out(data, replace(settings, seed=seed)).held_out] for seed in range(1, 6)
    ]
    assert any(other != names for other in others)
    assert hold_out(data, TrainingSettings()) is data


def test_a_small_share_is_one_photograph() -> None:
    data = TrainingData(WORDS, tuple(make_examples(3)), 0)
    assert len(hold_out(data, TrainingSettings(validation=0.01)).held_out) == 1


def test_what_is_left_must_do_for_a_training() -> None:
    settings = TrainingSettings(validation=0.5)
    with pytest.raises(TrainingDataError, match=r"validation 0.5 holds out 1 of 1 photographs"):
        hold_out(TrainingData(WORDS, tuple(make_examples(1)), 0), settings)
    alone = TrainingData(WORDS, (example([0, 0]), example([1, 1])), 0)
    with pytest.raises(TrainingDataError, match="two classes, but there are 2 of"):
        hold_out(alone, settings)
