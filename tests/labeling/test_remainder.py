"""What no mask covers, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fmbseg.labeling.remainder import remainder
from fmbseg.masks import MaskSet


def test_regions_are_connected_over_sides_and_large_enough() -> None:
    cross = np.zeros((1, 5, 5), dtype=np.bool_)
    cross[0, 2, :] = cross[0, :, 2] = True
    cross[0, 0, 0] = True  # leaves three cells of the first corner
    found = remainder(MaskSet.from_masks(cross), min_area=4 / 25)
    assert found.areas.tolist() == [4, 4, 4]
    assert found.boxes[0].tolist() == [3, 0, 5, 2]
    assert len(remainder(MaskSet.from_masks(cross), min_area=3 / 25)) == 4
    assert found.predicted_iou.tolist() == found.stability.tolist() == [0, 0, 0]


def test_without_masks_it_is_the_whole_image() -> None:
    assert remainder(MaskSet.empty((3, 4)), min_area=0.5).areas.tolist() == [12]


@given(st.integers(0, 2**20 - 1))
def test_masks_and_remainder_cover_the_image_once(bits: int) -> None:
    mask = np.array([bits >> place & 1 for place in range(20)], dtype=np.bool_).reshape(1, 4, 5)
    rest = remainder(MaskSet.from_masks(mask), min_area=0.0).decode()
    assert ((mask.sum(axis=0) + rest.sum(axis=0)) == 1).all()
