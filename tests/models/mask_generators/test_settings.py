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
    ],
)
def test_a_value_outside_its_range_is_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value!r}"):
        EverythingSettings.of({option: value})


def test_an_unknown_setting_offers_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'points_per_side'"):
        EverythingSettings.of({"point_per_side": 3})
