"""Each rival against another way to compute it: torch's own cross-entropy, whole matrices, or by hand."""

import math
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn import functional

from fmbseg.alignment.losses import LOSSES, LossOptions, alignment_loss, tsupcon
from fmbseg.unknown_name import UnknownNameError
from tests.alignment.losses.vectors import LABELS, MODULE, unit

PATCHES, PROTOTYPES = unit(len(LABELS), 6, seed=1), unit(5, 6, seed=2)
TAU = 0.3
Z = PATCHES[[label >= 0 for label in LABELS]]
Y = [label for label in LABELS if label >= 0]


def score(name: str, **options: Any) -> float:
    with mock.patch.object(MODULE, "CPU_SIDE", 3):
        loss = alignment_loss(
            name, PATCHES, torch.tensor(LABELS), PROTOTYPES, LossOptions(temperature=TAU, **options)
        )
    return loss.item()


def similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b) / TAU


def entropy_by_hand(classes: list[int]) -> float:
    """The mean of -log( exp(z.t_y) / sum over classes of exp(z.t_k) )."""
    terms = []
    for z, y in zip(Z, Y, strict=True):
        total = sum(math.exp(similarity(z, PROTOTYPES[k])) for k in classes)
        terms.append(math.log(total) - similarity(z, PROTOTYPES[y]))
    return sum(terms) / len(terms)


def supcon_by_hand() -> float:
    """Equation 2 of Khosla et al.: -1/|P(i)| sum over positives of log( exp / sum of all others )."""
    terms = []
    for i, z in enumerate(Z):
        others = [j for j in range(len(Z)) if j != i]
        positives = [j for j in others if Y[j] == Y[i]]
        total = sum(math.exp(similarity(z, Z[j])) for j in others)
        if positives:
            logs = [math.log(math.exp(similarity(z, Z[p])) / total) for p in positives]
            terms.append(-sum(logs) / len(positives))
    return sum(terms) / len(terms)


def test_cross_entropy() -> None:
    assert score("cross_entropy") == pytest.approx(entropy_by_hand([0, 1, 2, 3, 4]), rel=1e-12)
    assert score("cross_entropy", classes="batch") == pytest.approx(entropy_by_hand([0, 1, 2, 4]), rel=1e-12)


def test_supcon_and_cross_entropy_are_added() -> None:
    contrast, entropy = supcon_by_hand(), entropy_by_hand([0, 1, 2, 3, 4])
    assert score("supcon_cross_entropy") == pytest.approx(contrast + entropy, rel=1e-12)
    assert score("supcon_cross_entropy", text_weight=0.5) == pytest.approx(contrast + entropy / 2, rel=1e-12)


def test_clip_is_cross_entropy_over_the_matrix_of_all_pairs_in_both_directions() -> None:
    logits = Z @ PROTOTYPES[torch.tensor(Y)].T / TAU
    pairs_of = torch.arange(len(Z))
    expected = (functional.cross_entropy(logits, pairs_of) + functional.cross_entropy(logits.T, pairs_of)) / 2
    assert score("clip") == pytest.approx(expected.item(), rel=1e-12)


def test_clip_cannot_fall_below_the_logarithm_of_the_class_sizes() -> None:
    """Two classes of eight on their texts at a temperature that leaves nothing else: log 8."""
    labels = torch.arange(16) % 2
    texts = torch.eye(2, dtype=torch.float64)
    loss = alignment_loss("clip", texts[labels], labels, texts, LossOptions(temperature=0.01))
    assert loss.item() == pytest.approx(math.log(8), rel=1e-12)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_text_and_image_terms_are_what_tsupcon_is_made_of(exclude_self: bool) -> None:
    """(M + K) L = classes in the batch * mean of (2) + counted patches * mean of (4)."""
    together = tsupcon(
        PATCHES, torch.tensor(LABELS), PROTOTYPES, LossOptions(temperature=TAU, exclude_self=exclude_self)
    ).item()
    counted = 6 if exclude_self else 8  # classes 2 and 4 are singletons
    parts = 4 * score("text") + counted * score("image", exclude_self=exclude_self)
    assert together * (8 + 5) == pytest.approx(parts, rel=1e-12)


def test_the_image_term_without_itself_is_supcon() -> None:
    assert score("image", exclude_self=True) == pytest.approx(supcon_by_hand(), rel=1e-12)


def test_the_text_term_by_hand() -> None:
    means = []
    for k in sorted(set(Y)):
        terms = []
        for i in [i for i, y in enumerate(Y) if y == k]:
            total = sum(math.exp(similarity(Z[i], text)) for text in PROTOTYPES)
            total += sum(math.exp(similarity(Z[i], Z[j])) for j in range(len(Z)) if j != i)
            terms.append(math.log(total) - similarity(Z[i], PROTOTYPES[k]))
        means.append(sum(terms) / len(terms))
    assert score("text") == pytest.approx(sum(means) / len(means), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    labels = torch.tensor([0, 1, 1, -1, 2, 0, 1])
    inputs = (unit(7, 3, seed=1).requires_grad_(), unit(4, 3, seed=2).requires_grad_())
    with mock.patch.object(MODULE, "CPU_SIDE", 4):
        assert torch.autograd.gradcheck(
            lambda patches, prototypes: alignment_loss(
                name, patches, labels, prototypes, LossOptions(temperature=0.5, exclude_self=True)
            ),
            inputs,
        )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[-1, -1, -1], [-1, 1, -1]])
def test_few_or_no_patches_stay_finite(name: str, labels: list[int]) -> None:
    patches = unit(3, 4, seed=1).requires_grad_()
    loss = alignment_loss(
        name, patches, torch.tensor(labels), unit(2, 4, seed=2), LossOptions(temperature=0.1)
    )
    (gradient,) = torch.autograd.grad(loss, patches)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    if max(labels) < 0:
        assert loss.item() == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_unlabelled_patches_change_nothing(name: str) -> None:
    labelled = alignment_loss(name, Z, torch.tensor(Y), PROTOTYPES, LossOptions(temperature=TAU)).item()
    assert score(name) == pytest.approx(labelled, rel=1e-12)


def test_an_unknown_loss_offers_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="no loss 'tsupkon'; did you mean 'tsupcon'"):
        alignment_loss("tsupkon", Z, torch.tensor(Y), PROTOTYPES)
