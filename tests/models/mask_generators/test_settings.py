import inspect

import pytest
from segment_anything import SamAutomaticMaskGenerator

from fmbseg.models.mask_generators.settings import EverythingSettings
from fmbseg.unknown_name import UnknownNameError


def test_defaults_are_those_of_segment_anything() -> None:
    theirs = inspect.signature(SamAutomaticMaskGenerator).parameters
    ours = EverythingSettings()
    assert ours.points_per_side == theirs["points_per_side"].default
    assert ours.points_per_batch == theirs["points_per_batch"].default
    assert ours.predicted_iou_threshold == theirs["pred_iou_thresh"].default
    assert ours.stability_threshold == theirs["stability_score_thresh"].default
    assert ours.stability_offset == theirs["stability_score_offset"].default
    assert ours.box_nms_threshold == theirs["box_nms_thresh"].default
    assert ours.crop_n_layers == theirs["crop_n_layers"].default
    assert ours.crop_nms_threshold == theirs["crop_nms_thresh"].default
    assert ours.crop_overlap_ratio == theirs["crop_overlap_ratio"].default
    assert ours.crop_n_points_downscale_factor == theirs["crop_n_points_downscale_factor"].default


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("points_per_side", 0),
        ("points_per_side", 2.5),
        ("points_per_batch", 0),
        ("sampling", "random"),
        ("predicted_iou_threshold", 1.1),
        ("stability_threshold", -0.1),
        ("box_nms_threshold", float("nan")),
        ("stability_offset", -1.0),
        ("max_share", 1.5),
        ("crop_n_layers", -1),
        ("crop_n_points_downscale_factor", 0),
        ("crop_overlap_ratio", 2.0),
        ("min_area", -0.1),
    ],
)
def test_a_value_outside_its_range_is_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value!r}"):
        EverythingSettings.of({option: value})


def test_areas_must_leave_room_for_a_mask() -> None:
    with pytest.raises(ValueError, match=r"min_area is 0\.5: it must be below max_area, 0\.5"):
        EverythingSettings(min_area=0.5, max_area=0.5)


def test_an_unknown_setting_offers_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'points_per_side'"):
        EverythingSettings.of({"point_per_side": 3})
