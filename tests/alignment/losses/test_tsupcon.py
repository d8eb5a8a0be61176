import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.alignment.losses import LossOptions, alignment_loss, tsupcon, tsupcon_clear
from tests.alignment.losses.vectors import LABELS, MODULE, unit

Form = Callable[..., torch.Tensor]
FORMS = [tsupcon, tsupcon_clear]


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


@pytest.mark.parametrize("temperature", [1.0, 0.07])
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize(("form", "tile"), [(tsupcon, 1024), (tsupcon, 3), (tsupcon_clear, 1024)])
def test_value_and_gradient_are_the_printed_equations(
    temperature: float, exclude_self: bool, form: Form, tile: int
) -> None:
    patches = unit(len(LABELS), 6, seed=1).requires_grad_()
    prototypes = unit(5, 6, seed=2).requires_grad_()
    with mock.patch.object(MODULE, "CPU_SIDE", tile):
        loss = form(
            patches,
            torch.tensor(LABELS),
            prototypes,
            LossOptions(temperature=temperature, exclude_self=exclude_self),
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
    tile=st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=50, deadline=None)
def test_any_labelling_is_the_printed_equations(
    labels: list[int], temperature: float, exclude_self: bool, tile: int, seed: int
) -> None:
    patches, prototypes = unit(len(labels), 5, seed=seed), unit(4, 5, seed=seed + 1)
    expected = printed_equations(patches, labels, prototypes, temperature, exclude_self)
    for form in FORMS:
        with mock.patch.object(MODULE, "CPU_SIDE", tile):
            loss = form(
                patches,
                torch.tensor(labels),
                prototypes,
                LossOptions(temperature=temperature, exclude_self=exclude_self),
            )
        torch.testing.assert_close(loss, expected, rtol=1e-11, atol=1e-12)


@given(
    labels=st.lists(st.integers(-1, 3), min_size=1, max_size=40),
    options=st.fixed_dictionaries(
        {
            "temperature": st.sampled_from([1.0, 0.07, 0.01]),
            "exclude_self": st.booleans(),
            "text_weight": st.sampled_from([None, 0.5]),
            "classes": st.sampled_from(["dataset", "batch"]),
        }
    ),
    length=st.sampled_from([1.0, 0.1, 3.0]),
    double=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=80, deadline=None)
def test_both_forms_have_the_same_values_and_gradients(
    labels: list[int], options: dict[str, Any], length: float, double: bool, seed: int
) -> None:
    """Also of vectors that are not of unit length, which nothing forbids."""
    precise = torch.float64 if double else torch.float32
    patches = (length * unit(len(labels), 6, seed=seed)).to(precise).requires_grad_()
    prototypes = unit(4, 6, seed=seed + 1).to(precise).requires_grad_()
    found = []
    for form in FORMS:
        with mock.patch.object(MODULE, "CPU_SIDE", 7):
            loss = form(patches, torch.tensor(labels), prototypes, LossOptions(**options))
            found.append((loss, *torch.autograd.grad(loss, (patches, prototypes))))
    tolerance = 1e-10 if double else 1e-5
    for blocked, clear in zip(*found, strict=True):
        scale = max(float(clear.detach().abs().max()), length**2 / options["temperature"])
        torch.testing.assert_close(blocked, clear, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize(("precise", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_both_forms_agree_on_many_patches(precise: torch.dtype, tolerance: float) -> None:
    """More than one tile of the real size, in clusters, as a trained head makes them."""
    labels = torch.arange(1500) % 7
    prototypes = unit(7, 32, seed=2).to(precise)
    patches = torch.nn.functional.normalize(prototypes[labels] + unit(1500, 32, seed=1).to(precise), dim=1)
    patches.requires_grad_()
    found = []
    for form in FORMS:
        loss = form(patches, labels, prototypes, LossOptions(temperature=0.07))
        found.append((loss, torch.autograd.grad(loss, patches)[0]))
    (blocked, gradient), (clear, expected) = found
    torch.testing.assert_close(blocked, clear, rtol=tolerance, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_classes_of_the_batch_are_as_if_there_were_no_others(form: Form) -> None:
    patches, prototypes = unit(6, 4, seed=1), unit(5, 4, seed=2).requires_grad_()
    few = form(patches, torch.tensor([0, 1, 1, 2, -1, 0]), prototypes[[0, 2, 4]])
    many = form(patches, torch.tensor([0, 2, 2, 4, -1, 0]), prototypes, LossOptions(classes="batch"))
    torch.testing.assert_close(many, few)
    (gradient,) = torch.autograd.grad(many, prototypes)
    assert (gradient.norm(dim=1) > 0).tolist() == [True, False, True, False, True]


def test_the_gradient_is_that_of_finite_differences() -> None:
    labels = torch.tensor([0, 1, 1, -1, 2, 0, 1])
    inputs = (unit(7, 3, seed=1).requires_grad_(), unit(4, 3, seed=2).requires_grad_())
    with mock.patch.object(MODULE, "CPU_SIDE", 2):
        assert torch.autograd.gradcheck(
            lambda patches, prototypes: tsupcon(
                patches, labels, prototypes, LossOptions(temperature=0.3, exclude_self=True, text_weight=0.5)
            ),
            inputs,
        )


def test_the_texts_weigh_at_most_k_over_m_plus_k() -> None:
    """Terms (2) are at most K and terms (4) are M, each a mean, over one denominator M + K."""
    patches, prototypes = unit(60, 8, seed=1), unit(5, 8, seed=2)
    labels = torch.arange(60) % 5
    images = printed_equations(patches, labels.tolist(), prototypes, 1.0, False, text_factor=0.0)
    both = tsupcon(patches, labels, prototypes)
    mean_text = alignment_loss("text", patches, labels, prototypes)
    torch.testing.assert_close(both - images, mean_text * 5 / (60 + 5))


@pytest.mark.parametrize("form", FORMS)
def test_collapse_scores_the_logarithm_of_the_counts(form: Form) -> None:
    """All vectors equal, tau 1: (3) is log(M - 1 + K), (4) is log(M - 1), whatever the dot product."""
    count, classes = 12, 3
    everything = torch.eye(4, dtype=torch.float64)[:1]
    labels = torch.arange(count) % classes
    loss = form(everything.expand(count, 4), labels, everything.expand(classes, 4))
    expected = (classes * math.log(count - 1 + classes) + count * math.log(count - 1)) / (count + classes)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_singleton_has_minus_one_over_tau_as_printed_and_nothing_without_itself(form: Form) -> None:
    """Three orthogonal patches of three classes: every pair has dot product 0, so each (4) is known."""
    eye, labels, tau = torch.eye(3, dtype=torch.float64), torch.arange(3), 0.5
    text_terms = 3 * (-1 / tau + math.log(math.exp(1 / tau) + 2 + 2))
    image_terms = 3 * (-1 / tau + math.log(2))
    printed = form(eye, labels, eye, LossOptions(temperature=tau))
    without_itself = form(eye, labels, eye, LossOptions(temperature=tau, exclude_self=True))
    assert printed.item() == pytest.approx((text_terms + image_terms) / 6, rel=1e-12)
    assert without_itself.item() == pytest.approx(text_terms / 6, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_text_weight_of_one_gives_both_means_the_same_weight(form: Form) -> None:
    patches, prototypes = unit(len(LABELS), 6, seed=1), unit(5, 6, seed=2)
    labelled, present = 8, 4  # of ten patches two have no label, of five classes one is absent
    for weight in (1.0, 0.25):
        loss = form(
            patches, torch.tensor(LABELS), prototypes, LossOptions(temperature=0.5, text_weight=weight)
        )
        expected = printed_equations(patches, LABELS, prototypes, 0.5, False, weight * labelled / present)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_a_text_weight_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="text_weight is -1: it must be a positive number"):
        tsupcon(torch.eye(2), torch.arange(2), torch.eye(2), LossOptions(text_weight=-1))


@pytest.mark.parametrize("form", FORMS)
def test_unlabelled_patches_change_nothing_and_get_no_gradient(form: Form) -> None:
    patches = unit(len(LABELS), 6, seed=3).requires_grad_()
    prototypes, labels = unit(5, 6, seed=4), torch.tensor(LABELS)
    loss = form(patches, labels, prototypes)
    torch.testing.assert_close(loss, form(patches[labels >= 0], labels[labels >= 0], prototypes))
    (gradient,) = torch.autograd.grad(loss, patches)
    assert (gradient[labels < 0] == 0).all()
    assert (gradient[labels >= 0].norm(dim=1) > 0).all()


def test_another_ignore_index() -> None:
    patches, prototypes = unit(4, 3, seed=5), unit(2, 3, seed=6)
    torch.testing.assert_close(
        tsupcon(patches, torch.tensor([0, 255, 1, 0]), prototypes, LossOptions(ignore_index=255)),
        tsupcon(patches, torch.tensor([0, -1, 1, 0]), prototypes),
    )


@pytest.mark.parametrize("form", FORMS)
def test_an_absent_class_still_pushes(form: Form) -> None:
    patches, labels, prototypes = unit(6, 4, seed=7), torch.tensor([0, 0, 1, 1, 0, 1]), unit(3, 4, seed=8)
    prototypes.requires_grad_()
    (gradient,) = torch.autograd.grad(form(patches, labels, prototypes), prototypes)
    assert gradient[2].norm() > 0


@pytest.mark.parametrize("form", FORMS)
def test_no_labelled_patch_is_zero_and_trains_nothing(form: Form) -> None:
    patches, prototypes = unit(3, 4, seed=9).requires_grad_(), unit(2, 4, seed=10)
    loss = form(patches, torch.full((3,), -1), prototypes)
    (gradient,) = torch.autograd.grad(loss, patches)
    assert loss.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_one_patch_alone_has_its_text_term_only(form: Form) -> None:
    patch = torch.tensor([[1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = form(patch, torch.tensor([0]), torch.eye(2, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss, patch)
    assert loss.item() == pytest.approx((-1 + math.log(math.e + 1)) / 3, rel=1e-12)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_a_low_temperature_stays_finite_in_single_precision(form: Form) -> None:
    patches = unit(50, 8, seed=11).float().requires_grad_()
    loss = form(patches, torch.arange(50) % 5, unit(5, 8, seed=12).float(), LossOptions(temperature=0.005))
    (gradient,) = torch.autograd.grad(loss, patches)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_gradients_repeat_bit_for_bit_on_several_threads() -> None:
    patches, labels = unit(1500, 64, seed=13).float().requires_grad_(), torch.arange(1500) % 5
    prototypes = unit(5, 64, seed=14).float()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = [
            torch.autograd.grad(tsupcon(patches, labels, prototypes, LossOptions(temperature=0.07)), patches)[
                0
            ]
            for _ in range(3)
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
        ((4, 3), [0, 1, 0, 1], (2, 3), 0.0, "temperature is 0.0: it must be a positive number"),
        ((4, 3), [0, 1, 0, 1], (2, 3), float("nan"), "temperature is nan: it must be a positive number"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_wrong_input_is_named(
    form: Form,
    patches: tuple[int, int],
    labels: list[float],
    prototypes: tuple[int, int],
    temperature: float,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        form(
            torch.ones(patches),
            torch.tensor(labels),
            torch.ones(prototypes),
            LossOptions(temperature=temperature),
        )


def test_another_word_for_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="classes is 'image': it must be one of 'dataset', 'batch'"):
        tsupcon(torch.eye(2), torch.arange(2), torch.eye(2), LossOptions(classes="image"))  # type: ignore[arg-type]
