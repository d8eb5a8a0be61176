"""How far apart colours look, against ColorAide."""

from __future__ import annotations

from typing import Any

import coloraide
import numpy as np
import pytest

from fmbseg.drawing.palette import apart, oklab

COLOURS = np.random.default_rng(0).integers(0, 256, (30, 3), dtype=np.uint8)
THEIRS: Any = [coloraide.Color("srgb", (colour / 255).tolist()) for colour in COLOURS]


def test_oklab() -> None:
    expected = [colour.convert("oklab").coords() for colour in THEIRS]
    np.testing.assert_allclose(oklab(COLOURS), expected, atol=2e-6)


def test_distances_to_normal_and_to_colour_blind_eyes() -> None:
    blind = [
        [colour.filter(which, method="machado").clip("srgb") for colour in THEIRS]
        for which in ("protan", "deutan")
    ]
    found = apart(COLOURS)
    for one in range(0, 30, 3):
        for other in range(30):
            seen = [2 * each[one].distance(each[other], space="oklab") for each in blind]
            expected = min(THEIRS[one].distance(THEIRS[other], space="oklab"), *seen)
            assert found[one, other] == pytest.approx(expected, abs=1e-5)
