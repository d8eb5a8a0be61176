"""Run lengths found on a device are those of pycocotools, to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from fmbseg.models.mask_generators.candidates import (
    pack,
    packed_by_shifts,
    runs_of,
    unpack,
    unpacked_by_shifts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = st.tuples(st.integers(0, 3), st.integers(1, 7), st.integers(1, 7))


@given(arrays.arrays(np.bool_, SHAPES))
def test_run_lengths_are_those_of_pycocotools(masks: NDArray[np.bool_]) -> None:
    expected = [coco.encode(np.asfortranarray(mask, np.uint8))["counts"] for mask in masks]
    assert list(runs_of(torch.from_numpy(masks))) == expected


def test_masks_that_are_full_empty_or_begin_at_the_corner() -> None:
    masks = np.zeros((3, 300, 500), np.bool_)
    masks[0] = True
    masks[2, :1, :] = True
    expected = [coco.encode(np.asfortranarray(mask, np.uint8))["counts"] for mask in masks]
    assert list(runs_of(torch.from_numpy(masks))) == expected


@given(arrays.arrays(np.bool_, SHAPES))
def test_packed_masks_come_back_and_a_device_packs_as_numpy_does(masks: NDArray[np.bool_]) -> None:
    given_masks = torch.from_numpy(masks)
    bits = pack(given_masks)
    assert torch.equal(packed_by_shifts(given_masks), bits)
    assert torch.equal(unpack(bits, masks.shape[1:]), given_masks)
    count = masks.shape[1] * masks.shape[2]
    assert torch.equal(unpacked_by_shifts(bits, count), given_masks.flatten(1))
