"""The benchmark of adaptive sampling at toy size: what it prints, and its sums."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.adaptive_sampling import RememberingDecoder, main, recovered, summary
from fmbseg.masks import MaskSet
from fmbseg.models.loading.assets import fetch_mobilesam
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.mask_generators.candidates import Candidates


def test_it_measures_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        fetch_mobilesam()
    except AssetUnavailableError as error:
        pytest.skip(str(error))
    board = np.zeros((60, 90, 3), np.uint8)
    board[20:50, 30:60] = 240
    Image.fromarray(board).save(tmp_path / "board.png")
    options = ["--points-per-side", "3", "--curve", "0", "1", "--stability", "0.8"]
    main(["--images", str(tmp_path), *options])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = result["photographs"]
    assert row["photograph"] == "board"
    assert row["masks"] > 0
    assert result["curve"]["1"] == {"decodes": 1.0, "recovered": 1.0}  # the whole grid
    assert result["curve"]["0"]["decodes"] == pytest.approx(1 / 9, abs=1e-3)  # the first point alone
    assert result["ratio"] == pytest.approx(1 / result["decodes"], rel=1e-2)
    assert min(row["seconds"].values()) > 0


class Blank:
    """A decoder that counts what it decodes."""

    size = (4, 4)

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        self.decoded += len(points)
        sums = torch.from_numpy(points.sum(axis=(1, 2)))
        return Candidates(sums[:, None, None, None].expand(-1, 1, 2, 2), torch.zeros(len(points), 1))

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        raise NotImplementedError

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        raise NotImplementedError

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        raise NotImplementedError


def test_points_that_are_known_are_counted_and_not_computed() -> None:
    decoder = Blank()
    remembering = RememberingDecoder(decoder)
    points = np.array([[[1, 2]], [[3, 4]]], np.float32)
    first = remembering.decode(points)
    again = remembering.decode(points[::-1])
    assert (decoder.decoded, remembering.asked) == (2, 4)
    assert first.logits[:, 0, 0, 0].tolist() == [3, 7]
    assert again.logits[:, 0, 0, 0].tolist() == [7, 3]


def test_a_mask_is_recovered_from_an_iou_of_four_fifths_on() -> None:
    masks = np.zeros((3, 1, 20), np.bool_)
    masks[0, 0, :10], masks[1, 0, :8], masks[2, 0, :7] = True, True, True
    whole, four_fifths, less = (MaskSet.from_masks(masks[index : index + 1]) for index in range(3))
    assert recovered(four_fifths, whole) == 1.0
    assert recovered(less, whole) == 0.0
    assert recovered(MaskSet.empty((1, 20)), whole) == 0.0


def test_photographs_weigh_alike() -> None:
    rows = [
        {
            "decodes": decodes,
            "recovered": part,
            "seconds": {"grid": 4.0, "adaptive": seconds},
            "curve": {"cover": {"decodes": decodes, "recovered": part}},
        }
        for decodes, part, seconds in ((0.2, 1.0, 1.0), (0.3, 0.9, 3.0))
    ]
    found = summary(rows)
    assert (found["decodes"], found["recovered"], found["ratio"]) == (0.25, 0.95, 4.0)
    assert found["seconds_ratio"] == 2.0
    assert found["curve"]["cover"] == {"decodes": 0.25, "recovered": 0.95}
