"""The throughput benchmark at toy size, and its comparison of masks."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from benchmarks import label_throughput
from benchmarks.label_throughput import equal_share, in_turn, main, parse, summary
from benchmarks.plain_labeling import Labelled


def box(right: int, *, stage: int = 12, class_id: int = 1) -> Labelled:
    """Columns 0 to ``right`` of an image of 10 x 200."""
    mask = np.zeros((10, 200), np.uint8, order="F")
    mask[:, :right] = 1
    return Labelled(stage, class_id, coco.encode(mask)["counts"].decode(), (10, 200))


def test_masks_are_the_same_up_to_a_pixel_in_fifty() -> None:
    assert equal_share([[box(100)]], [[box(100)]]) == 1
    assert equal_share([[box(100)]], [[box(99)]]) == 1  # IoU 0.99
    assert equal_share([[box(100)]], [[box(97)]]) == 0
    assert equal_share([[box(100)]], [[box(100, stage=11)]]) == 0
    assert equal_share([[box(100)]], [[box(100, class_id=2)]]) == 0
    assert equal_share([[box(100), box(50)], []], [[box(50), box(100)], [box(9)]]) == 4 / 5
    assert equal_share([[]], [[]]) == 1


def test_medians_of_turns() -> None:
    masks = [[box(3)], [box(4), box(5)]]
    turns = {
        "plain": [(8.0, 4.0, {"encode": 6.0}, masks), (20.0, 5.0, {"encode": 8.0}, masks)],
        "fmbseg": [(4.0, 2.0, {"encode": 3.0}, masks), (5.0, 1.0, {"encode": 5.0}, masks)],
    }
    memory = {"plain": (10**9, 4 * 10**9), "fmbseg": (10**9, 3 * 10**9)}
    found = summary(turns, memory, [1.0, 0.5], parse(["--count", "2", "--rounds", "2"]))
    assert (found["ratio"], found["cpu_ratio"], found["memory_ratio"]) == (3.0, 3.5, 0.75)
    assert found["equal_masks"] == 0.5
    plain = found["sides"]["plain"]
    assert plain["seconds_per_image"] == 7.0
    assert plain["seconds_by_part"] == {"encode": 3.5}
    assert plain["seconds_of_the_rest"] == 3.5
    assert plain["masks_per_image"] == 1.5
    assert plain["memory_gb"] == {"loaded": 1.0, "most": 4.0}


def test_sides_take_turns_by_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = [0.0], []

    def call(side: str, seconds: float, value: float) -> torch.Tensor:
        clock[0] += seconds
        order.append(side)
        return torch.full((2,), value)

    monkeypatch.setattr(label_throughput, "process_time", lambda: clock[0])
    calls = {"plain": partial(call, "plain", 6.0, 8.0), "fmbseg": partial(call, "fmbseg", 4.0, 7.75)}
    assert in_turn(calls, 2) == {
        "cpu_ratio": 1.5,
        "ratios": [1.5, 1.5],
        "largest_difference": 0.25,
        "largest_value": 8.0,
        "cpu_seconds": {"plain": 6.0, "fmbseg": 4.0},
    }
    assert order == ["plain", "fmbseg", "fmbseg", "plain"]


@pytest.mark.long
def test_a_run_at_toy_size(capsys: pytest.CaptureFixture[str]) -> None:
    toy = ["--models", "tiny", "--points-per-side", "3", "--threads", "1"]
    main([*toy, "--count", "1", "--rounds", "1", "--cold"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["equal_masks"] == 1.0
    assert result["sides"]["plain"]["masks_per_image"] == result["sides"]["fmbseg"]["masks_per_image"] > 0
    assert result["ratio"] > 0
    assert result["memory_ratio"] > 0
    assert set(result["sides"]["fmbseg"]["seconds_by_part"]) == {
        "image-text model",
        "mask model, encoding",
        "mask model, decoding",
    }
