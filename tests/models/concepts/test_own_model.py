"""The battery passes a concept model of somebody else, which has neither weights nor a semantic map."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.concepts.contract import ConceptModelContract
from tests.plugin_package.fmbseg_primaries import Primaries


def test_by_hand() -> None:
    image = np.full((2, 3, 3), 200, np.uint8)
    image[0, :2] = (255, 155, 55)  # red leads by 100
    red, blue = Primaries("60").begin(image).find(["Red ", "blue"])
    assert (red.presence, blue.presence) == (1, 0)
    assert red.masks.decode()[0].tolist() == [[True, True, False], [False] * 3]
    assert red.masks.predicted_iou.tolist() == pytest.approx([100 / 255])
    assert len(blue.masks) == 0
    assert red.semantic is None


class TestPrimariesContract(ConceptModelContract):
    encodes, limited = "begin", False

    @pytest.fixture
    def model(self) -> Primaries:
        return Primaries("20")
