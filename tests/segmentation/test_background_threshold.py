"""A score that is exactly the threshold of background, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fmbseg.evaluation.protocols import PROTOCOLS
from fmbseg.segment_settings import Background, SegmentSettings
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.segmentation.decoding import Decoded
from fmbseg.segmentation.reduction import _labels
from fmbseg.vocabulary import Vocabulary

WORDS = Vocabulary.of(["cat", "dog"])


def labels(scores: list[float], background: Background) -> list[int]:
    """One row of pixels that are all nearest to ``dog``; 0 is background, 2 is dog."""
    row = np.array([scores], np.float32)
    decoded = Decoded(torch.ones(row.shape, dtype=torch.int32), torch.from_numpy(row))
    settings = SegmentSettings(background=background)
    found: list[int] = _labels(decoded, row, ResultClasses.of(WORDS, background), settings)[0].tolist()
    return found


@pytest.mark.parametrize(("name", "limit"), [("tcl", 0.5), ("tcl-pamr", 0.4)])
def test_in_tcls_protocols_it_is_background(name: str, limit: float) -> None:
    """Their code puts the threshold before the classes' scores, and argmax takes the first of equals."""
    above = float(np.nextafter(np.float32(limit), np.float32(1)))
    below = float(np.nextafter(np.float32(limit), np.float32(0)))
    assert labels([below, limit, above], PROTOCOLS[name].background) == [0, 0, 2]
    scores = torch.tensor([[below, limit, above]])
    theirs = torch.cat([torch.full_like(scores, limit), torch.zeros_like(scores), scores]).argmax(dim=0)
    assert theirs.tolist() == [0, 0, 2]


def test_elsewhere_it_is_of_its_class() -> None:
    assert labels([0.25, 0.5, 0.75], Background("similarity", 0.5)) == [0, 2, 2]
    assert str(Background("similarity", 0.5)) == "similarity below 0.5"
    assert str(Background("similarity", 0.5, at_threshold=True)) == "similarity up to 0.5"
