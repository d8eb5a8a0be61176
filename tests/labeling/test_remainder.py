"""What no mask covers, by hand."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.labeling.classes import Classes
from fmbseg.labeling.remainder import remainder
from fmbseg.masks import MaskSet

# Two cells side by side on a picture of 4 x 8: the left one shows class 0, the right one class 1.
DENSE = torch.eye(3)[:, None, :2]
CLASSES = Classes.plain(torch.eye(3))
TOP = np.zeros((4, 8), dtype=np.bool_)
TOP[:2] = True


def test_each_class_has_the_pixels_left_where_the_map_sees_it() -> None:
    found = remainder(MaskSet.from_masks(TOP[None]), DENSE, CLASSES, [0, 1, 2], min_area=0.0)
    assert found.class_ids.tolist() == [0, 1]
    left, right = found.masks.decode()
    assert left[2:, :4].all()
    assert left.sum() == 8
    assert right[2:, 4:].all()
    assert right.sum() == 8
    assert found.masks.predicted_iou.tolist() == found.masks.stability.tolist() == [0, 0]


def test_only_detected_classes_and_offsets_count() -> None:
    nothing = MaskSet.empty((4, 8))
    assert remainder(nothing, DENSE, CLASSES, [1], min_area=0.0).masks.areas.tolist() == [32]
    offset = Classes(torch.eye(3), torch.tensor([2.0, 0.0, 0.0]))
    assert remainder(nothing, DENSE, offset, [0, 1], min_area=0.0).class_ids.tolist() == [1]


def test_small_ones_are_left_out_and_where_all_is_covered_there_is_none() -> None:
    masks = MaskSet.from_masks(TOP[None])
    assert len(remainder(masks, DENSE, CLASSES, [0, 1], min_area=8 / 32).masks) == 2
    assert len(remainder(masks, DENSE, CLASSES, [0, 1], min_area=9 / 32).masks) == 0
    both = MaskSet.from_masks(np.stack([TOP, ~TOP]))
    assert len(remainder(both, DENSE, CLASSES, [0, 1], min_area=0.0).masks) == 0


def test_what_scores_enough_is_a_mask_of_its_own() -> None:
    dense = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # up-sampled: 1 at the left, falling to 0 at the right
    one = Classes.plain(torch.tensor([[1.0, 0.0]]))

    def areas(least_score: float, min_area: float = 0.0) -> list[int]:
        nothing = MaskSet.empty((4, 8))
        found = remainder(nothing, dense, one, [0], min_area=min_area, least_score=least_score)
        assert np.logical_or.reduce(found.masks.decode()).all()
        return [int(area) for area in found.masks.areas]

    assert areas(0.5) == [16, 16]
    assert areas(0.0) == areas(1.1) == [32]
    assert areas(0.5, min_area=0.6) == [32]  # the part is too small to be a mask


def test_against_upsampling_every_class_at_once() -> None:
    random = torch.Generator().manual_seed(0)
    dense = F.normalize(torch.randn(6, 3, 5, generator=random), dim=0)
    classes = Classes(
        F.normalize(torch.randn(4, 6, generator=random), dim=1), torch.rand(4, generator=random)
    )
    found = remainder(MaskSet.empty((30, 41)), dense, classes, [0, 2, 3], min_area=0.0)
    scores = torch.einsum("kd,dhw->khw", classes.prototypes, dense) - classes.offsets[:, None, None]
    whole = F.interpolate(scores[None], (30, 41), mode="bilinear", align_corners=False)[0, [0, 2, 3]]
    expected = np.array([0, 2, 3])[whole.argmax(dim=0).numpy()]
    drawn = np.full((30, 41), -1)
    for index, mask in zip(found.class_ids, found.masks.decode(), strict=True):
        drawn[mask] = index
    assert np.array_equal(drawn, expected)
