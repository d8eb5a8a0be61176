"""Run lengths that pycocotools itself writes pass; what it would take by mistake does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from fmbseg.labels.run_lengths import check_counts, check_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda size: arrays(np.bool_, size)))
@settings(deadline=None, max_examples=200)
def test_what_pycocotools_writes_passes_at_its_own_size_alone(mask: NDArray[np.bool_]) -> None:
    counts = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    check_counts(counts, (mask.shape[0], mask.shape[1]))
    with pytest.raises(ValueError, match="pixels, the image"):
        check_counts(counts, (mask.shape[0], mask.shape[1] + 1))


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        (b"", "have 0 pixels"),
        (b"0h", "end in the middle"),
        (b"\x00", "the invalid character '\\x00'"),
        (b"Pm0", "pixels"),
        (b"O", "a negative number, -1"),
        (b"0h00h", "end in the middle"),
    ],
)
def test_what_is_none_is_refused(counts: bytes, what: str) -> None:
    with pytest.raises(ValueError) as error:
        check_counts(counts, (4, 6))
    assert what in str(error.value)


def test_runs_as_numbers() -> None:
    check_runs([3, 3], (2, 3))
    with pytest.raises(ValueError, match="have 5 pixels, the image 2 x 3 = 6"):
        check_runs([3, 2], (2, 3))
    with pytest.raises(ValueError, match="a negative number, -1"):
        check_runs([7, -1], (2, 3))
