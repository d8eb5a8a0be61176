"""Windows: they cover, they lie inside, they average, and they are where TCL's protocol has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.windows import MAX_LONG_SIDE, WindowPlan, window_starts

plans = st.builds(
    lambda height, width, short_side, window, overlap, stride: WindowPlan.cover(
        (height, width),
        short_side=short_side,
        window=window,
        step=max(1, round(window * (1 - overlap))),
        stride=stride,
    ),
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    short_side=st.integers(16, 300),
    window=st.integers(8, 300),
    overlap=st.floats(0, 0.9),
    stride=st.sampled_from([4, 14, 16, 32]),
)


@given(plans)
@settings(deadline=None, max_examples=150)
def test_windows_cover_every_cell_and_lie_inside(plan: WindowPlan) -> None:
    covered = np.zeros(plan.grid, dtype=int)
    for top, left in plan.origins:
        assert top >= 0
        assert left >= 0
        assert top + plan.window[0] <= plan.grid[0]
        assert left + plan.window[1] <= plan.grid[1]
        covered[top : top + plan.window[0], left : left + plan.window[1]] += 1
    assert covered.min() >= 1
    assert len(set(plan.origins)) == len(plan.origins)


@given(plans)
@settings(deadline=None, max_examples=60)
def test_constant_maps_are_stitched_to_a_constant(plan: WindowPlan) -> None:
    maps = [torch.full((2, *plan.window), 0.75) for _ in plan.origins]
    stitched = plan.stitch(maps)
    assert stitched.shape == (2, *plan.grid)
    assert torch.equal(stitched, torch.full((2, *plan.grid), 0.75))


@given(plans, st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_cutting_and_stitching_gives_the_image_back(plan: WindowPlan, seed: int) -> None:
    cells = torch.rand(3, *plan.grid, generator=torch.Generator().manual_seed(seed))
    pixels = cells.repeat_interleave(plan.stride, 1).repeat_interleave(plan.stride, 2)
    one_a_cell = [cut[:, :: plan.stride, :: plan.stride] for cut in plan.cut(pixels)]
    torch.testing.assert_close(plan.stitch(one_a_cell), cells, rtol=1e-6, atol=1e-6)


def test_overlaps_are_averaged_by_hand() -> None:
    # One row of five cells, windows of three, two apart: cell 2 is in both windows.
    plan = WindowPlan.cover((10, 50), short_side=10, window=30, step=20, stride=10)
    assert plan.grid == (1, 5)
    assert plan.window == (1, 3)
    assert plan.origins == ((0, 0), (0, 2))
    stitched = plan.stitch([torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[7.0, 8.0, 9.0]]])])
    assert stitched.tolist() == [[[1.0, 2.0, 5.0, 8.0, 9.0]]]


def test_the_last_window_is_moved_back_inside() -> None:
    assert window_starts(10, 4, 3) == [0, 3, 6]
    assert window_starts(11, 4, 3) == [0, 3, 6, 7]
    assert window_starts(4, 4, 3) == [0]
    assert window_starts(3, 4, 3) == [0]


def tcl_starts(side: int) -> list[int]:
    """mmsegmentation's slide_inference, window 448 and stride 224, in pixels (written from method.md)."""
    count = max(side - 448 + 224 - 1, 0) // 224 + 1
    ends = [min(index * 224 + 448, side) for index in range(count)]
    return [max(end - 448, 0) for end in ends]


@given(st.integers(28, 128))
def test_starts_are_those_of_tcl(cells: int) -> None:
    assert [16 * start for start in window_starts(cells, 28, 14)] == tcl_starts(16 * cells)


@pytest.mark.parametrize(
    ("size", "grid", "windows"),
    [
        ((1024, 2048), (28, 56), 3),  # Cityscapes: 448 x 896, one row of three
        ((480, 640), (28, 37), 2),  # 448 x 597 -> 37 cells of 16
        ((500, 375), (37, 28), 2),
        ((448, 448), (28, 28), 1),
    ],
)
def test_tcl_on_sizes_of_the_benchmarks(size: tuple[int, int], grid: tuple[int, int], windows: int) -> None:
    plan = WindowPlan.cover(size, short_side=448, window=448, step=224, stride=16)
    assert plan.grid == grid
    assert len(plan.origins) == windows


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (30, 20_000)])
def test_elongated_images_stay_small(size: tuple[int, int]) -> None:
    plan = WindowPlan.cover(size, short_side=448, window=224, step=112, stride=32, pad_to=224)
    assert min(plan.image_size) >= 224
    assert max(plan.image_size) <= MAX_LONG_SIDE
    assert len(plan.origins) <= 16 * 3


def test_a_step_longer_than_a_window_leaves_no_gap() -> None:
    # 40 px are 2.5 cells: rounded alone, the window would be 2 cells and the step 3.
    plan = WindowPlan.cover((160, 160), short_side=160, window=40, step=40, stride=16)
    stitched = plan.stitch([torch.ones(1, *plan.window)] * len(plan.origins))
    assert torch.isfinite(stitched).all()


def test_as_many_maps_as_windows() -> None:
    plan = WindowPlan.cover((10, 50), short_side=10, window=30, step=20, stride=10)
    with pytest.raises(ValueError, match="zip"):
        plan.stitch([torch.ones(1, 1, 3)])
