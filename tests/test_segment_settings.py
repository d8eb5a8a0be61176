"""Settings of deployment are checked at the door and tell what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fmbseg.segment_settings import (
    Background,
    KnowledgePreservation,
    MaskNaming,
    MaskSnap,
    Pamr,
    RegionNaming,
    SecondLook,
    SegmentSettings,
    WindowSettings,
)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (WindowSettings, {"short_side": 0}, "short_side is 0"),
        (WindowSettings, {"window": -1}, "window is -1"),
        (WindowSettings, {"step": 0}, "step is 0"),
        (WindowSettings, {"step": 500}, "step is 500: it must be at most window, 448"),
        (
            Background,
            {"rule": "colour"},
            "rule is 'colour': it must be one of common, words, similarity, softmax",
        ),
        (
            Background,
            {"rule": "similarity"},
            "threshold is None: it must be a number with the rule",
        ),
        (
            Background,
            {"rule": "words", "threshold": 0.4},
            "threshold is 0.4: it must be None with the rule",
        ),
        (Pamr, {"iterations": 0}, "iterations is 0: it must be 1 or more"),
        (Pamr, {"dilations": (1, 0)}, "must be one or more distances"),
        (Pamr, {"dilations": ()}, "must be one or more distances"),
        (MaskSnap, {"min_share": 1.5}, "min_share is 1.5: it must be from 0 to 1"),
        (
            MaskNaming,
            {"generator": object(), "options": {"threads": 1}},
            "options .* must be empty if the generator is not a spec",
        ),
        (SecondLook, {"sure": -0.1}, "sure is -0.1: it must be 0 or more"),
        (SecondLook, {"margin": float("nan")}, "margin is nan"),
        (SecondLook, {"uncovered": -1}, "uncovered is -1: it must be 0 or more"),
        (SecondLook, {"near": float("inf")}, "near is inf"),
        (SecondLook, {"largest": 0}, "largest is 0: it must be above 0 and at most 1"),
        (RegionNaming, {"points": 0}, "points is 0: it must be 1 or more"),
        (RegionNaming, {"min_area": 1.5}, "min_area is 1.5: it must be from 0 to 1"),
        (SegmentSettings, {"temperature": float("nan")}, "temperature is nan"),
        (SegmentSettings, {"min_margin": -0.1}, "min_margin is -0.1"),
        (SegmentSettings, {"top": 0}, "top is 0"),
        (SegmentSettings, {"scales": ()}, r"scales is \(\)"),
        (SegmentSettings, {"scales": (1.0, 0.0)}, "must be one or more finite numbers above 0"),
        (KnowledgePreservation, {"weight": 1.1}, "weight is 1.1: it must be from 0 to 1"),
        (KnowledgePreservation, {"slope": 0.0}, "slope is 0.0"),
        (KnowledgePreservation, {"short_side": 0}, "short_side is 0"),
    ],
)
def test_what_makes_no_sense(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_the_description_is_json_with_every_choice() -> None:
    told = SegmentSettings(refine=Pamr()).describe()
    assert json.loads(json.dumps(told)) == told
    assert told["refine"] == {"pamr": {"iterations": 10, "dilations": [1, 2, 4, 8, 12, 24]}}
    assert (told["short_side"], told["window"], told["step"]) == (448, 448, 224)
    whole = SegmentSettings(windows=WindowSettings(window=None), refine=MaskSnap("superpixels")).describe()
    assert (whole["window"], whole["step"]) == (None, None)
    assert whole["refine"] == {"masks": {"generator": "superpixels", "min_share": 0.5}}
    named = SegmentSettings(refine=MaskNaming("superpixels", {"min_area_fraction": 0.05})).describe()
    assert named["refine"] == {
        "named_masks": {"generator": "superpixels", "options": {"min_area_fraction": 0.05}}
    }
    asked = RegionNaming("superpixels", points=2, min_area=0.1, min_predicted_iou=0.5, min_stability=0.4)
    assert SegmentSettings(refine=asked).describe()["refine"] == {
        "named_regions": {
            "generator": "superpixels",
            "options": {},
            "points": 2,
            "min_area": 0.1,
            "min_predicted_iou": 0.5,
            "min_stability": 0.4,
        }
    }
    assert SegmentSettings().describe()["refine"] is None
    looks = MaskNaming("superpixels", second_look=SecondLook(margin=0.3))
    beside = SegmentSettings(refine=asked, refine_common=looks)
    assert beside.describe()["refine_common"] == {
        "named_masks": {
            "generator": "superpixels",
            "options": {},
            "second_look": {
                "sure": 0.1,
                "margin": 0.3,
                "uncovered": 0.15,
                "near": 0.1,
                "largest": 0.5,
            },
        }
    }
    assert beside.beside_common_words().refine is looks
    assert SegmentSettings(refine=asked).beside_common_words().refine is asked
    preserve = KnowledgePreservation(weight=0.3, center=0.25, slope=10.0)
    preserved = SegmentSettings(scales=(1, 1.5), preserve=preserve).describe()
    assert json.loads(json.dumps(preserved)) == preserved
    assert preserved["scales"] == [1, 1.5]
    assert preserved["preserve"] == {
        "weight": 0.3,
        "center": 0.25,
        "slope": 10.0,
        "short_side": 448,
    }


def test_only_what_needs_the_softmax_pays_for_it() -> None:
    assert not SegmentSettings().needs_softmax
    assert SegmentSettings(confidence=True).needs_softmax
    assert SegmentSettings(background=Background("softmax", 0.5)).needs_softmax
