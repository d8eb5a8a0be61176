from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.alignment.losses.tsupcon import others_logsumexp
from tests.alignment.losses.vectors import MODULE, unit


def row_by_row(vectors: torch.Tensor, temperature: float) -> torch.Tensor:
    rows = []
    for i in range(len(vectors)):
        others = torch.cat([vectors[:i], vectors[i + 1 :]])
        rows.append(((others * vectors[i]).sum(dim=1) / temperature).exp().sum().log())
    return torch.stack(rows)


@given(
    count=st.integers(2, 9),
    tile=st.integers(1, 10),
    temperature=st.sampled_from([1.0, 0.1]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=30, deadline=None)
def test_value_and_weighted_gradient_are_those_of_the_sums(
    count: int, tile: int, temperature: float, seed: int
) -> None:
    """Every size of tile, and weights of either sign, as a loss may have them."""
    vectors = unit(count, 4, seed=seed).requires_grad_()
    weights = torch.linspace(-1, 2, count, dtype=torch.float64)
    expected = row_by_row(vectors, temperature)
    with mock.patch.object(MODULE, "CPU_SIDE", tile):
        found = others_logsumexp(vectors, temperature)
        (gradient,) = torch.autograd.grad(found, vectors, weights)
    (expected_gradient,) = torch.autograd.grad(expected, vectors, weights)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


def test_gradcheck() -> None:
    vectors = unit(7, 3, seed=1).requires_grad_()
    with mock.patch.object(MODULE, "CPU_SIDE", 3):
        assert torch.autograd.gradcheck(lambda z: others_logsumexp(z, 0.5), (vectors,))


def test_a_vector_alone_has_no_others() -> None:
    vectors = unit(1, 3, seed=1).requires_grad_()
    found = others_logsumexp(vectors, 1.0)
    (gradient,) = torch.autograd.grad(found.masked_fill(found.isinf(), 0.0).sum(), vectors)
    assert found.tolist() == [-float("inf")]
    assert (gradient == 0).all()


def test_far_apart_at_a_low_temperature_nothing_underflows() -> None:
    """Opposite vectors at 0.001: exp(-1000) is 0 in any precision, its logarithm is not."""
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    found = others_logsumexp(vectors, 0.001)
    assert found.tolist() == pytest.approx([-1000.0, -1000.0])
    (gradient,) = torch.autograd.grad(found.sum(), vectors)
    torch.testing.assert_close(gradient, -vectors.detach() * 2 / 0.001)


def test_a_second_derivative_is_refused() -> None:
    vectors = unit(4, 3, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(
        others_logsumexp(vectors, 1.0).square().sum(), vectors, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(gradient.sum())
