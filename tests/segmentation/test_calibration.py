"""Calibration without labels, with small random models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.models.text import embed_vocabulary
from fmbseg.segment_settings import Background, KnowledgePreservation, SegmentSettings, WindowSettings
from fmbseg.segmentation.calibration import Calibration, calibrate
from fmbseg.segmentation.calibration_page import calibration_page
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone
from tests.segmentation.test_segmenter import SeeingImageText

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = ["cat", "cup", "person"]
SMALL = WindowSettings(short_side=64, window=64, step=32)
PLAIN = SegmentSettings(windows=SMALL)
MIXED = SegmentSettings(windows=SMALL, preserve=KnowledgePreservation(0.5, short_side=64))


def segmenter(settings: SegmentSettings = PLAIN, seed: int = 3) -> OpenVocabSegmenter:
    torch.manual_seed(seed)
    words = Vocabulary.of(WORDS)  # as prototypes they are the words that no view may prefer: themselves
    known = Prototypes(words, embed_vocabulary(SeeingImageText(), words))
    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), SeeingImageText(), prototypes=known)
    return OpenVocabSegmenter(encoder, settings=settings)


def photographs(count: int = 3) -> list[NDArray[np.uint8]]:
    return [
        np.repeat(np.repeat(np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8), 8, 0), 8, 1)
        for seed in range(count)
    ]


@pytest.fixture(scope="module")
def found() -> Calibration:
    return calibrate(segmenter(MIXED), photographs(), WORDS, certainty=0.1)


def test_every_cell_of_a_word_is_counted_and_the_threshold_is_where_the_curve_says(
    found: Calibration,
) -> None:
    assert found.photographs == 3
    assert sum(found.cells) == 3 * 8 * 10  # no background here
    assert all(agreed <= cells for agreed, cells in zip(found.agreed, found.cells, strict=True))
    assert found.certainty.mixed is not None
    assert found.certainty.mixed.of(found.threshold) == pytest.approx(0.1, abs=1e-3)
    # pooling keeps the weighted mean, so that mean certainty is about the share that agrees
    assert 0 < sum(found.agreed) < sum(found.cells)


def test_both_curves_come_of_one_run_whichever_the_settings_use(found: Calibration) -> None:
    alone = calibrate(segmenter(), photographs(1), WORDS, certainty=0.0)
    mixed = calibrate(segmenter(MIXED), photographs(1), WORDS, certainty=0.0)
    assert sum(alone.cells) == sum(mixed.cells)
    assert alone.certainty.alone.scores != alone.certainty.mixed.scores  # type: ignore[union-attr]
    assert found.certainty.default == 0.1


def test_a_calibrated_segmenter_leaves_blank_what_scores_below_the_threshold(found: Calibration) -> None:
    own = segmenter(MIXED)
    result = found.applied_to(own).segment(photographs()[0], WORDS)
    everything = own.segment(photographs()[0], WORDS)
    sure = np.abs(everything.scores - found.threshold) > 1e-3
    assert np.array_equal((result.labels < 0)[sure], (everything.scores < found.threshold)[sure])
    assert 0 < result.unknown < result.labels.size
    assert own.encoder.certainty is None  # stays as it was
    assert found.applied_to(own, certainty=0.0).segment(photographs()[0], WORDS).unknown == 0


def test_background_is_not_asked_for_its_certainty() -> None:
    common = SegmentSettings(windows=SMALL, background=Background("common"))
    found = calibrate(segmenter(common), photographs(1), WORDS, certainty=0.0)
    result = segmenter(common).segment(photographs(1)[0], WORDS)
    assert result.names[0] == "background"
    assert sum(found.cells) < 80


def test_it_survives_json_and_another_heads_is_refused(found: Calibration) -> None:
    assert Calibration.from_dict(found.to_dict()) == found
    with pytest.raises(ValueError, match="of another head"):
        found.applied_to(segmenter(seed=4))
    for broken in ({}, {"fmbseg_calibration": 1}, {**found.to_dict(), "words": 3}):
        with pytest.raises(ValueError, match="it is not a calibration"):
            Calibration.from_dict(broken)


def test_what_cannot_be_calibrated_is_told() -> None:
    with pytest.raises(ValueError, match="no photograph"):
        calibrate(segmenter(), [], WORDS)
    common = SegmentSettings(windows=SMALL, background=Background("common"))  # more words, less chance
    with pytest.raises(ValueError, match=r"no score on these photographs is as certain as 0\.9"):
        calibrate(segmenter(common), photographs(2), WORDS, certainty=0.9)


def test_the_page_escapes_names_and_marks_the_threshold(found: Calibration) -> None:
    result = found.applied_to(segmenter(MIXED)).segment(photographs()[0], WORDS)
    page = calibration_page(found, [("<b>x</b>.jpg", result)])
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;.jpg" in page
    assert page.count("<rect") == 2 * len(found.cells)
    assert page.count("data:image/jpeg") == 2
    assert "http" not in page
