import math
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.alignment import losses
from fmbseg.alignment.losses import tsupcon


def printed_equations(
    patches: torch.Tensor,
    labels: list[int],
    prototypes: torch.Tensor,
    temperature: float,
    exclude_self: bool,
    text_factor: float = 1.0,
) -> torch.Tensor:
    """Equations 1 to 4 term by term, with the sums that the paper prints and nothing factored out."""
    z = [patch for patch, label in zip(patches, labels, strict=True) if label != -1]
    y = [label for label in labels if label != -1]
    everyone, classes = range(len(z)), range(len(prototypes))

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).sum() / temperature

    def exp_sum(i: int) -> torch.Tensor:
        return sum(
            (dot(z[i], z[j]).exp() for j in everyone if j != i), start=torch.zeros((), dtype=z[0].dtype)
        )

    total = torch.zeros((), dtype=patches.dtype)
    for k in classes:
        members = [i for i in everyone if y[i] == k]
        for i in members:  # equation 3, averaged by equation 2
            texts = sum((dot(z[i], prototypes[c]).exp() for c in classes), start=torch.zeros(()))
            term = -dot(z[i], prototypes[k]) + torch.log(texts + exp_sum(i))
            total = total + text_factor * term / len(members)
    for i in everyone:  # equation 4
        positives = [j for j in everyone if y[j] == y[i] and not (exclude_self and j == i)]
        for j in positives:
            total = total + (-dot(z[i], z[j]) + torch.log(exp_sum(i))) / len(positives)
    return total / (len(z) + len(prototypes))


def unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


# Class 3 is absent, class 2 is a singleton, -1 is unlabelled.
LABELS = [0, 1, -1, 0, 2, 1, 1, -1, 0, 4]


@pytest.mark.parametrize("temperature", [1.0, 0.07])
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("rows_per_block", [1024, 3])
def test_value_and_gradient_are_the_printed_equations(
    temperature: float, exclude_self: bool, rows_per_block: int
) -> None:
    patches = unit(len(LABELS), 6, seed=1).requires_grad_()
    prototypes = unit(5, 6, seed=2).requires_grad_()
    with mock.patch.object(losses, "_ROWS_PER_BLOCK", rows_per_block):
        loss = tsupcon(
            patches, torch.tensor(LABELS), prototypes, temperature=temperature, exclude_self=exclude_self
        )
        gradients = torch.autograd.grad(loss, (patches, prototypes))
    expected = printed_equations(patches, LABELS, prototypes, temperature, exclude_self)
    expected_gradients = torch.autograd.grad(expected, (patches, prototypes))

    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-14)


@given(
    labels=st.lists(st.integers(-1, 3), min_size=2, max_size=12).filter(
        lambda y: sum(k >= 0 for k in y) >= 2
    ),
    temperature=st.sampled_from([1.0, 0.5, 0.1]),
    exclude_self=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=50, deadline=None)
def test_any_labelling_is_the_printed_equations(
    labels: list[int], temperature: float, exclude_self: bool, seed: int
) -> None:
    patches, prototypes = unit(len(labels), 5, seed=seed), unit(4, 5, seed=seed + 1)
    loss = tsupcon(
        patches, torch.tensor(labels), prototypes, temperature=temperature, exclude_self=exclude_self
    )
    expected = printed_equations(patches, labels, prototypes, temperature, exclude_self)
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=1e-12)


def test_collapse_scores_the_logarithm_of_the_counts() -> None:
    """All vectors equal, tau 1: (3) is log(M - 1 + K), (4) is log(M - 1), whatever the dot product."""
    count, classes = 12, 3
    everything = torch.eye(4, dtype=torch.float64)[:1]
    labels = torch.arange(count) % classes
    loss = tsupcon(everything.expand(count, 4), labels, everything.expand(classes, 4))
    expected = (classes * math.log(count - 1 + classes) + count * math.log(count - 1)) / (count + classes)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_a_singleton_has_minus_one_over_tau_as_printed_and_nothing_without_itself() -> None:
    """Three orthogonal patches of three classes: every pair has dot product 0, so each (4) is known."""
    eye, labels, tau = torch.eye(3, dtype=torch.float64), torch.arange(3), 0.5
    text_terms = 3 * (-1 / tau + math.log(math.exp(1 / tau) + 2 + 2))
    image_terms = 3 * (-1 / tau + math.log(2))
    printed = tsupcon(eye, labels, eye, temperature=tau)
    without_itself = tsupcon(eye, labels, eye, temperature=tau, exclude_self=True)
    assert printed.item() == pytest.approx((text_terms + image_terms) / 6, rel=1e-12)
    assert without_itself.item() == pytest.approx(text_terms / 6, rel=1e-12)


def test_a_text_weight_of_one_gives_both_means_the_same_weight() -> None:
    patches, prototypes = unit(len(LABELS), 6, seed=1), unit(5, 6, seed=2)
    labelled, present = 8, 4  # of ten patches two have no label, of five classes one is absent
    for weight in (1.0, 0.25):
        loss = tsupcon(patches, torch.tensor(LABELS), prototypes, temperature=0.5, text_weight=weight)
        expected = printed_equations(patches, LABELS, prototypes, 0.5, False, weight * labelled / present)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_a_text_weight_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="text_weight must be positive; got -1"):
        tsupcon(torch.eye(2), torch.arange(2), torch.eye(2), text_weight=-1)


def test_unlabelled_patches_change_nothing_and_get_no_gradient() -> None:
    patches = unit(len(LABELS), 6, seed=3).requires_grad_()
    prototypes, labels = unit(5, 6, seed=4), torch.tensor(LABELS)
    loss = tsupcon(patches, labels, prototypes)
    torch.testing.assert_close(loss, tsupcon(patches[labels >= 0], labels[labels >= 0], prototypes))
    (gradient,) = torch.autograd.grad(loss, patches)
    assert (gradient[labels < 0] == 0).all()
    assert (gradient[labels >= 0].norm(dim=1) > 0).all()


def test_another_ignore_index() -> None:
    patches, prototypes = unit(4, 3, seed=5), unit(2, 3, seed=6)
    torch.testing.assert_close(
        tsupcon(patches, torch.tensor([0, 255, 1, 0]), prototypes, ignore_index=255),
        tsupcon(patches, torch.tensor([0, -1, 1, 0]), prototypes),
    )


def test_an_absent_class_still_pushes() -> None:
    patches, labels, prototypes = unit(6, 4, seed=7), torch.tensor([0, 0, 1, 1, 0, 1]), unit(3, 4, seed=8)
    prototypes.requires_grad_()
    (gradient,) = torch.autograd.grad(tsupcon(patches, labels, prototypes), prototypes)
    assert gradient[2].norm() > 0


def test_no_labelled_patch_is_zero_and_trains_nothing() -> None:
    patches, prototypes = unit(3, 4, seed=9).requires_grad_(), unit(2, 4, seed=10)
    loss = tsupcon(patches, torch.full((3,), -1), prototypes)
    (gradient,) = torch.autograd.grad(loss, patches)
    assert loss.item() == 0
    assert (gradient == 0).all()


def test_one_patch_alone_has_its_text_term_only() -> None:
    patch = torch.tensor([[1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = tsupcon(patch, torch.tensor([0]), torch.eye(2, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss, patch)
    assert loss.item() == pytest.approx((-1 + math.log(math.e + 1)) / 3, rel=1e-12)
    assert gradient.isfinite().all()


def test_a_low_temperature_stays_finite_in_single_precision() -> None:
    patches = unit(50, 8, seed=11).float().requires_grad_()
    loss = tsupcon(patches, torch.arange(50) % 5, unit(5, 8, seed=12).float(), temperature=0.005)
    (gradient,) = torch.autograd.grad(loss, patches)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_gradients_repeat_bit_for_bit_on_several_threads() -> None:
    patches, labels = unit(3000, 64, seed=13).float().requires_grad_(), torch.arange(3000) % 5
    prototypes = unit(5, 64, seed=14).float()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = [
            torch.autograd.grad(tsupcon(patches, labels, prototypes, temperature=0.07), patches)[0]
            for _ in range(4)
        ]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])


@pytest.mark.parametrize(
    ("patches", "labels", "prototypes", "temperature", "message"),
    [
        ((4, 3), [0, 1, 0, 1], (2, 5), 1.0, r"\(4, 3\) and prototypes \(2, 5\)"),
        ((4, 3), [0, 1, 0], (2, 3), 1.0, "4 integers"),
        ((4, 3), [0.0, 1.0, 0.0, 1.0], (2, 3), 1.0, "float32"),
        ((4, 3), [0, 2, 0, 1], (2, 3), 1.0, "label 2 .* 0 to 1"),
        ((4, 3), [0, -2, 0, 1], (2, 3), 1.0, "label -2"),
        ((4, 3), [0, 1, 0, 1], (2, 3), 0.0, "temperature must be positive; got 0"),
        ((4, 3), [0, 1, 0, 1], (2, 3), float("nan"), "temperature must be positive; got nan"),
    ],
)
def test_wrong_input_is_named(
    patches: tuple[int, int],
    labels: list[float],
    prototypes: tuple[int, int],
    temperature: float,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        tsupcon(torch.ones(patches), torch.tensor(labels), torch.ones(prototypes), temperature=temperature)
