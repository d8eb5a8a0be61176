"""Regions that no mask covers, by hand."""

from __future__ import annotations

import numpy as np

from fmbseg.labeling.remainder import remainder
from fmbseg.masks import MaskSet

COVERED = np.array(
    [
        [0, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 1, 0],  # touches the region above it by a corner only: a region of its own
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
    ],
    dtype=np.bool_,
)


def test_regions_from_top_to_bottom() -> None:
    found = remainder(MaskSet.from_masks(COVERED[None]), min_area=0.0)
    assert found.areas.tolist() == [4, 3, 1, 6]
    assert found.predicted_iou.tolist() == found.stability.tolist() == [0] * 4
    assert np.array_equal(found.decode().sum(axis=0) == 1, ~COVERED)


def test_small_regions_are_left_out() -> None:
    masks = MaskSet.from_masks(COVERED[None])
    assert remainder(masks, min_area=4 / 24).areas.tolist() == [4, 6]
    assert remainder(masks, min_area=0.5).areas.tolist() == []


def test_several_masks_cover_together() -> None:
    halves = np.zeros((2, 4, 6), dtype=np.bool_)
    halves[0, :, :3] = halves[1, :, 3:] = True
    assert len(remainder(MaskSet.from_masks(halves), min_area=0.0)) == 0
    assert remainder(MaskSet.from_masks(halves[:1]), min_area=0.0).areas.tolist() == [12]


def test_without_masks_all_is_left() -> None:
    assert remainder(MaskSet.empty((3, 5)), min_area=0.0).areas.tolist() == [15]
