"""The sums of the benchmark of region prompts, by hand, and what it takes from a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.regions import Masks, accuracy, dense, miou, sparse, summary
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def test_figures_by_hand() -> None:
    """Two photographs of two classes: the map is right on one of them, regions on three quarters."""
    right, wrong, half = [[0, 0, 4]], [[0, 1, 4]], [[0, 0, 2], [0, 1, 2]]
    names = ["head", "map", "regions-1", "everything"]
    rows = [
        {
            "counts": dict(zip(names, (wrong, right, right, right), strict=True)),
            "seconds": dict(zip(names, (1.0, 2.0, 4.0, 8.0), strict=True)),
            "prompts": dict(zip(names, (0, 0, 5, 50), strict=True)),
            "parts": {name: [1.0, 2.0, seconds, 0.5] for name, seconds in zip(names, range(4), strict=True)},
        },
        {
            "counts": dict(zip(names, (wrong, wrong, half, right), strict=True)),
            "seconds": {"regions-1": 100.0},  # what is not timed beside everything does not count
            "prompts": {"regions-1": 7},
        },
    ]
    found = summary(rows, names, 2)
    regions = found["variants"]["regions-1"]
    assert regions["miou"] == 0.75  # 6 of the 8 pixels of class 0; there is no other
    assert regions["pixel_accuracy"] == 0.75
    assert regions["prompts_per_image"] == 6.0
    assert regions["seconds_per_image"] == 4.0
    assert regions["seconds_by_part"] == {"map": 1.0, "mask_encoder": 2.0, "prompts": 2.0, "naming": 0.5}
    assert found["variants"]["everything"]["miou"] == 1.0
    assert regions["part_of_the_gain"] == 0.5  # from 0.5 to 1
    assert regions["over_map"] == "0.000 to 0.500"  # twice the first, or twice the second
    assert (found["timed"], found["photographs"]) == (1, 2)


def test_counts_go_both_ways() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 2]])
    assert np.array_equal(dense(sparse(counts), 2), counts)
    assert miou(counts) == pytest.approx(3 / 4 / 2)
    assert accuracy(counts) == 0.5


def test_masks_that_are_known_cost_what_they_did_and_are_asked_for_once() -> None:
    class Prompter:
        asked = 0

        def prompt(self, points: Sequence[NDArray[np.float32]]) -> MaskSet:
            self.asked += len(points)
            masks = np.zeros((len(points), 2, 3), bool)
            for mask, one in zip(masks, points, strict=True):
                mask[int(one[0, 1]), int(one[0, 0])] = True
            return MaskSet.from_masks(masks) if len(points) else MaskSet.empty((2, 3))

    masks = object.__new__(Masks)
    masks.forget()
    masks.turn()
    inner = Prompter()
    masks._prompter = inner  # type: ignore[assignment]
    first, second = (np.array([[x, 1]], np.float32) for x in (0.5, 2.5))
    masks.prompt([first])
    masks.turn()
    found = masks.prompt([second, first])
    assert [tuple(np.argwhere(one)[0].tolist()) for one in found.decode()] == [(1, 2), (1, 0)]
    assert (inner.asked, masks.prompts) == (2, 2)
    assert masks.decoded > masks.spent  # the first was known
