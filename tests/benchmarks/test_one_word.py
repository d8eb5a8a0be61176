"""One word at a time: sums by hand, and a run with small random models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.one_word import WAYS, best_by_threshold, best_mask, count, ends, gain, mean_iou
from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.certainty import CertaintyCurve, HeadCertainty
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.masks import MaskSet
from fmbseg.methods.remembering import Memory
from fmbseg.segment_settings import WindowSettings
from tests.aligned.tiny import TinyBackbone
from tests.segmentation.test_calibration import photographs
from tests.segmentation.test_segmenter import SeeingImageText, Squares

if TYPE_CHECKING:
    from pathlib import Path


def test_the_mean_iou_is_over_classes_that_are_shown() -> None:
    pixels = np.array([[[1, 2, 1], [0, 0, 0]], [[1, 2, 1], [3, 4, 3]]])  # both, either, painted
    assert mean_iou(pixels.sum(axis=0, keepdims=True)) == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert gain(pixels, pixels * [0, 1, 1]) == [0.5, 0.625]  # the other is never right
    assert ends(pixels) == [0.5, 0.625]  # the first photograph twice; the second, whose classes count alike


def test_what_is_possible_by_hand() -> None:
    shown = np.array([[True, True, False, False]])
    assert best_by_threshold(np.array([[3.0, 1.0, 1.0, 0.0]]), shown) == pytest.approx(2 / 3)
    assert best_by_threshold(np.zeros((1, 4)), shown) == 0.5  # nothing tells them apart
    masks = MaskSet.from_masks(np.array([[[True, False, False, False]], [[True, True, True, False]]]))
    assert best_mask(masks, shown) == pytest.approx(2 / 3)
    assert best_mask(MaskSet.empty((1, 4)), shown) == 0.0


def test_a_run_at_toy_size(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for index, image in enumerate(photographs(2)):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[:, : 8 * (index + 1)] = index + 1  # a column of cats, two of cups
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index}.png")
    (tmp_path / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tcup\n", encoding="utf-8")
    (tmp_path / "manifest.csv").write_text("id,fold\n0,val\n1,val\n", encoding="utf-8")
    torch.manual_seed(3)
    never = HeadCertainty(CertaintyCurve((0.0,), (0.1,)), default=0.2)
    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), SeeingImageText(), certainty=never)
    own = OpenVocabSegmenter(encoder, windows=WindowSettings(64, 64, 32))
    with torch.inference_mode():
        keys, pixels, possible = count(own, Squares(), MaskFolder(tmp_path), "val", [], ["cup"], Memory())
    assert keys == ["0", "1"]
    shown = 64 * 16
    assert pixels["none"][1, 1].tolist() == [shown, 64 * 80, 64 * 80]
    assert not pixels["none"][1, 0].any()  # which it does not show
    assert set(pixels) == set(WAYS)
    assert pixels["common_certain"][1, 1, 2] == 0  # nothing is as certain as that
    for way in ("common", "regions"):
        assert (pixels[way][:, :, 2] >= pixels[f"{way}_certain"][:, :, 2]).all()
    assert list(possible) == ["cup"]
    assert possible["cup"]["1"]["shown"] == 0.2
    assert possible["cup"]["1"]["by_a_threshold"] >= 0.2  # painting everything
