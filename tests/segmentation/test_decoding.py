"""Decoding in blocks against torch's own up-sampling of everything at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fmbseg.segmentation import decoding
from fmbseg.segmentation.decoding import decode


def unit(*shape: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=dim)


def plain(text_map: torch.Tensor, prototypes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Similarities of every class at every pixel, (K, H, W), as torch itself up-samples them."""
    similarity = torch.einsum("kd,dhw->khw", prototypes, text_map)
    return F.interpolate(similarity[None], size, mode="bilinear", align_corners=False)[0]


shapes = {
    "grid": st.tuples(st.integers(1, 9), st.integers(1, 9)),
    "size": st.tuples(st.integers(1, 70), st.integers(1, 70)),
    "classes": st.integers(1, 12),
    "blocks": st.fixed_dictionaries(
        {"block_values": st.integers(1, 5000), "block_classes": st.integers(1, 13)}
    ),
}


@given(seed=st.integers(0, 10_000), **shapes)
@settings(deadline=None, max_examples=100)
def test_exactly_the_classes_of_up_sampling_everything(
    seed: int, grid: tuple[int, int], size: tuple[int, int], classes: int, blocks: dict[str, Any]
) -> None:
    # In float64 random similarities are never as close as rounding, so that no class is left to chance.
    text_map, prototypes = unit(5, *grid, dim=0, seed=seed).double(), unit(classes, 5, dim=1, seed=9).double()
    whole = plain(text_map, prototypes, size)
    found = decode(text_map, prototypes, size, **blocks)
    assert torch.equal(found.labels.long(), whole.argmax(dim=0))
    torch.testing.assert_close(found.scores, whole.max(dim=0).values, rtol=0, atol=1e-7)


@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1, 2, 4, 8]), **shapes)
@settings(deadline=None, max_examples=100)
def test_exactly_the_same_where_many_classes_are_equally_similar(
    seed: int,
    factor: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    classes: int,
    blocks: dict[str, Any],
) -> None:
    # Few whole numbers, up-sampled by powers of two: float32 is exact, and ties are real ones.
    generator = torch.Generator().manual_seed(seed)
    text_map = torch.randint(-2, 3, (3, *grid), generator=generator).float()
    prototypes = torch.randint(-1, 2, (classes, 3), generator=generator).float()
    size = (grid[0] * factor, grid[1] * factor)
    whole = plain(text_map, prototypes, size)
    found = decode(text_map, prototypes, size, **blocks)
    order = whole.sort(dim=0, descending=True, stable=True)  # of equal ones the first
    assert torch.equal(found.scores, order.values[0])
    assert torch.equal(found.labels.long(), order.indices[0])
    several = decode(text_map, prototypes, size, top=3, **blocks)
    if classes > 1:
        assert several.top_labels is not None
        assert torch.equal(several.top_labels.long(), order.indices[:3])


@given(seed=st.integers(0, 10_000), top=st.integers(1, 15), **shapes)
@settings(deadline=None, max_examples=60)
def test_the_best_few_and_the_softmax(
    seed: int,
    top: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    classes: int,
    blocks: dict[str, Any],
) -> None:
    text_map, prototypes = unit(5, *grid, dim=0, seed=seed).double(), unit(classes, 5, dim=1, seed=9).double()
    whole = plain(text_map, prototypes, size)
    found = decode(text_map, prototypes, size, top=top, temperature=0.1, **blocks)
    best = whole.topk(min(top, classes), dim=0)
    assert torch.equal(found.labels.long(), best.indices[0])
    if top > 1 and classes > 1:
        assert found.top_labels is not None
        assert found.top_scores is not None
        assert torch.equal(found.top_labels.long(), best.indices)
        torch.testing.assert_close(found.top_scores, best.values, rtol=0, atol=1e-7)
    assert found.log_sum is not None
    share = (found.scores / 0.1 - found.log_sum).exp()
    torch.testing.assert_close(share, (whole / 0.1).softmax(dim=0).amax(dim=0), rtol=0, atol=1e-6)


@given(st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_blocks_do_not_change_a_bit(block_values: int) -> None:
    text_map, prototypes = unit(4, 5, 6, dim=0, seed=1), unit(7, 4, dim=1, seed=2)
    whole = decode(text_map, prototypes, (37, 23))
    parts = decode(text_map, prototypes, (37, 23), block_values=block_values)
    assert torch.equal(whole.labels, parts.labels)
    assert torch.equal(whole.scores, parts.scores)


@pytest.mark.parametrize(("block_values", "block_classes"), [(2**17, 1024), (1, 3)])
def test_an_accelerator_finds_the_same_without_leaving_classes_out(
    monkeypatch: pytest.MonkeyPatch, block_values: int, block_classes: int
) -> None:
    text_map, prototypes = unit(5, 5, 6, dim=0, seed=1).double(), unit(7, 5, dim=1, seed=2).double()
    monkeypatch.setattr(decoding, "_knows_for_nothing", lambda _: False)
    found = decode(text_map, prototypes, (37, 23), block_values=block_values, block_classes=block_classes)
    whole = plain(text_map, prototypes, (37, 23))
    assert torch.equal(found.labels.long(), whole.argmax(dim=0))
    torch.testing.assert_close(found.scores, whole.max(dim=0).values, rtol=0, atol=1e-7)


def test_of_equal_classes_the_first_wins() -> None:
    text_map = torch.ones(1, 2, 2)
    labels, scores, *_ = decode(text_map, torch.tensor([[0.5], [1.0], [1.0]]), (5, 3))
    assert (labels == 1).all()
    assert (scores == 1.0).all()


def test_weights_by_hand() -> None:
    # Two cells over four pixels: centres at -0.25 (clamped to 0), 0.25, 0.75 and 1.25 (clamped to 1).
    text_map = torch.tensor([[[1.0, 0.0]]])
    scores = decode(text_map, torch.ones(1, 1), (1, 4)).scores
    assert scores.tolist() == [[1.0, 0.75, 0.25, 0.0]]


def test_the_map_of_one_cell_fills_the_image() -> None:
    labels, scores, *_ = decode(torch.tensor([[[0.0]], [[1.0]]]), torch.eye(2), (3, 4))
    assert (labels == 1).all()
    assert (scores == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_have_the_type_of_the_map(dtype: torch.dtype) -> None:
    result = decode(torch.ones(1, 2, 2, dtype=dtype), torch.ones(1, 1, dtype=dtype), (2, 2))
    assert result.scores.dtype == dtype
    assert result.labels.dtype == torch.int32
    assert result.top_labels is result.top_scores is result.log_sum is None


def test_a_class_that_is_second_at_every_corner_wins_between_them() -> None:
    text_map = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.7, 0.7]]])
    assert decode(text_map, torch.eye(3), (1, 8)).labels.tolist() == [[0, 0, 0, 2, 2, 1, 1, 1]]


@pytest.mark.parametrize("top", [1, 2])
def test_work_memory_depends_on_neither_classes_nor_pixels(top: int) -> None:
    """The largest tensor that is made on the way, apart from the result, by torch's own account."""

    class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
        size = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            for one in made if isinstance(made, tuple | list) else (made,):
                if isinstance(one, torch.Tensor) and "empty" not in str(func):
                    storage = one.untyped_storage()
                    if storage.nbytes() not in results:
                        self.size = max(self.size, storage.nbytes())
            return made

    text_map = unit(4, 6, 8, dim=0, seed=1)
    found = []
    for classes, size in ((50, (60, 80)), (50, (240, 320)), (500, (240, 320)), (3000, (30, 40))):
        texts = unit(classes, 4, dim=1, seed=2)
        results = {top * size[0] * size[1] * 4, texts.nbytes}  # and views of what was given
        with Largest() as largest:  # type: ignore[no-untyped-call]
            decode(text_map, texts, size, top=top, block_values=2**14, block_classes=256)
        found.append(largest.size)
    assert max(found) <= 2**14 * 8  # the positions that a maximum gives are of 64 bits
