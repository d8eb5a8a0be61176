"""Bilinear interpolation in steps is PyTorch's, to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.models.mask_generators import interpolation
from fmbseg.models.mask_generators.interpolation import Resize, mixture, resize

if TYPE_CHECKING:
    import pytest

LENGTHS = st.integers(1, 40)


def by_pytorch(maps: torch.Tensor, down: tuple[Resize, ...], across: tuple[Resize, ...]) -> torch.Tensor:
    """Resize by step, as everybody would."""
    for rows, columns in zip(down, across, strict=True):
        whole = F.interpolate(maps[:, None], (rows.length, columns.length), mode="bilinear")
        maps = whole[:, 0, : rows.kept, : columns.kept]
    return maps


@settings(deadline=None)
@given(
    st.tuples(LENGTHS, LENGTHS),
    st.tuples(LENGTHS, LENGTHS),
    st.tuples(LENGTHS, LENGTHS),
    st.tuples(LENGTHS, LENGTHS),
)
def test_enlarging_then_resizing_a_part_is_pytorchs_own(
    size: tuple[int, int], times: tuple[int, int], kept: tuple[int, int], last: tuple[int, int]
) -> None:
    """The first step enlarges or keeps, as SAM's does; the second does either, of any part."""
    maps = torch.randn(2, *size, generator=torch.Generator().manual_seed(sum(size)))
    down, across = (
        (Resize(length * factor, min(part, length * factor)), Resize(end, end))
        for length, factor, part, end in zip(size, times, kept, last, strict=True)
    )
    torch.testing.assert_close(resize(maps, down, across), by_pytorch(maps, down, across))


def test_it_is_the_same_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    down, across = (Resize(64, 48), Resize(90, 90)), (Resize(64, 64), Resize(120, 120))
    whole = resize(maps, down, across)
    monkeypatch.setattr(interpolation, "_MIXED_AT_ONCE_ON_CPU", 1000)
    assert torch.equal(resize(maps, down, across), whole)


def test_weights_of_a_place_are_one() -> None:
    """Whatever the steps: what is even stays even."""
    found = mixture(256, (Resize(1024, 683), Resize(427, 427)), torch.device("cpu"))
    torch.testing.assert_close(found.weights.sum(dim=0), torch.ones(427, 1))
    assert (found.neighbours.diff(dim=1) >= 0).all()


def test_no_maps_make_no_maps() -> None:
    assert resize(torch.zeros(0, 4, 4), (Resize(8, 8),), (Resize(9, 9),)).shape == (0, 8, 9)
