"""Certainty curves: by hand, against an independent fit, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fmbseg.certainty import CertaintyCurve, HeadCertainty, fit_curve


def test_what_falls_is_pooled_by_hand() -> None:
    curve = fit_curve([0.4, 0.1, 0.3, 0.2], [1, 0.5, 0, 0.5])
    assert curve.scores == (0.1, 0.3, 0.4)
    assert curve.certainties == (0.333333, 0.333333, 1.0)  # (0.5 + 0.5 + 0) / 3


def test_weights_count_as_repetitions() -> None:
    weighted = fit_curve([0.1, 0.2, 0.3], [1, 0, 1], [3, 1, 2])
    assert weighted == fit_curve([0.1, 0.1, 0.1, 0.2, 0.3, 0.3], [1, 1, 1, 0, 1, 1])


def test_it_is_the_nearest_curve_that_never_falls() -> None:
    draw = np.random.default_rng(0)
    scores, right = draw.uniform(size=120).round(2), draw.uniform(size=120)
    curve = fit_curve(scores, right)
    # min-max formula of isotonic regression (Barlow et al. 1972), over means of equal scores
    values = np.unique(scores)
    sums = np.array([[right[scores == one].sum(), (scores == one).sum()] for one in values])
    totals = np.vstack([[0.0, 0.0], sums.cumsum(axis=0)])
    gained = totals[None, 1:] - totals[:-1, None]  # [first, last] of every run of scores
    means = np.where(gained[..., 1] > 0, gained[..., 0] / gained[..., 1].clip(1), np.inf)
    # For each first score the least mean of the runs that end at a score or later.
    best = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    wanted = np.maximum.accumulate(np.where(np.isinf(best), -np.inf, best), axis=0).diagonal()
    np.testing.assert_allclose(curve.of(values), wanted, atol=2e-6)


def test_a_threshold_and_a_certainty_say_the_same() -> None:
    curve = CertaintyCurve((0.0, 0.2, 0.5, 0.6), (0.1, 0.3, 0.3, 0.8))
    scores = np.linspace(-0.2, 0.8, 101)
    for certainty in (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9):
        np.testing.assert_array_equal(
            scores >= curve.least_score(certainty) - 1e-9, curve.of(scores) >= certainty - 1e-6
        )


@pytest.mark.parametrize(
    ("scores", "certainties", "match"),
    [
        ((), (), "one at least"),
        ((0.1, 0.2), (0.5,), "2 scores and 1 certainties"),
        ((0.2, 0.2), (0.1, 0.5), "finite and ascending"),
        ((0.1, float("nan")), (0.1, 0.5), "finite and ascending"),
        ((0.1, 0.2), (0.5, 0.1), "never fall"),
        ((0.1, 0.2), (0.5, 1.1), "from 0 to 1"),
        ((0.1, 0.2), (0.5, float("nan")), "never fall"),
    ],
)
def test_what_is_no_curve(scores: Any, certainties: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        CertaintyCurve(scores, certainties)


def test_nothing_to_fit() -> None:
    for given in (([], []), ([0.1], [1, 0]), ([0.1], [1], [0])):
        with pytest.raises(ValueError, match="a curve is fitted to scores of weight"):
            fit_curve(*given)


def test_it_is_kept_as_json() -> None:
    known = HeadCertainty(
        CertaintyCurve((0.1, 0.2), (0, 1)), CertaintyCurve((0.3,), (0.5,)), 0.4, {"photographs": 3}
    )
    saved = json.loads(json.dumps(known.to_dict()))
    assert HeadCertainty.from_dict(saved) == known
    beside = replace(known, beside_common=0.25)
    assert HeadCertainty.from_dict(json.loads(json.dumps(beside.to_dict()))) == beside
    for wrong in (
        {**saved, "beside_common": 1.5},
        {**saved, "beside": 0.5},
        None,
        {},
        {**saved, "default": True},
        {**saved, "default": 2},
        {**saved, "made_from": []},
        {**saved, "alone": {"scores": [0.1], "certainties": ["x"]}},
        {**saved, "alone": {"scores": [0.1]}},
        {**saved, "mixed": {"scores": [], "certainties": []}},
    ):
        with pytest.raises(ValueError, match=r"certainty|certainties"):
            HeadCertainty.from_dict(wrong)
