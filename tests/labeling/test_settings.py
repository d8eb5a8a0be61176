"""Settings outside their range are refused, with the value."""

from __future__ import annotations

from typing import Any

import pytest

from fmbseg.labeling.settings import LabelingSettings
from fmbseg.unknown_name import UnknownNameError


def test_what_the_paper_states_is_the_default() -> None:
    settings = LabelingSettings()
    assert (settings.min_crops, settings.points_per_class, settings.keep_fraction) == (2, 5, 0.75)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short_side": 0}, "short_side is 0: it must be 1 or more"),
        ({"scales": ()}, "it must be one or more positive numbers, ascending"),
        ({"scales": (1.5, 1.0)}, "ascending"),
        ({"hubness": -1}, "hubness is -1: it must be 0 or more"),
        ({"min_crops": 0}, "min_crops is 0"),
        ({"points_per_class": -1}, "points_per_class is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"certainty": 0.3}, "certainty is 0.3: it needs the curve that tells it, mask_curve"),
        ({"certainty": 1.2}, "certainty is 1.2: it must be a number from 0 to 1"),
        ({"min_predicted_iou": 1.5}, "min_predicted_iou is 1.5: it must be from 0 to 1"),
        ({"keep_fraction": -0.1}, "keep_fraction is -0.1"),
        ({"keep_fraction": float("nan")}, "keep_fraction is nan"),
        ({"crop_overlap": 1.0}, "crop_overlap is 1.0: it must be from 0 to 1, 1 excluded"),
        ({"min_area": 0.5, "max_area": 0.5}, "min_area is 0.5: it must be below max_area, 0.5"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelingSettings(**changes)


def test_a_misspelt_name_is_told() -> None:
    assert LabelingSettings.from_dict({"seed": 3}) == LabelingSettings(seed=3)
    with pytest.raises(UnknownNameError, match=r"shrt_side.*short_side"):
        LabelingSettings.from_dict({"shrt_side": 3})
