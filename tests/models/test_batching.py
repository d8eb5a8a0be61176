from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from fmbseg.devices import DeviceError
from fmbseg.models.batching import Batches, encode_all, encode_stream
from tests.aligned.tiny import TinyBackbone
from tests.test_devices import MISSING_ON_MPS

if TYPE_CHECKING:
    from collections.abc import Iterator


class Counting(TinyBackbone):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, ...]] = []

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.batches.append((len(pixels), *pixels.shape[2:]))
        return super().encode(pixels)


def test_sizes_are_grouped_and_results_keep_their_order() -> None:
    sizes = [(16, 24), (32, 16), (16, 24), (16, 24), (32, 16), (16, 24)]
    images = [torch.randn(3, *size) for size in sizes]
    backbone = Counting()
    grids = encode_all(backbone, images, batch_size=3)
    assert sorted(backbone.batches) == [(1, 16, 24), (2, 32, 16), (3, 16, 24)]
    for image, grid in zip(images, grids, strict=True):
        torch.testing.assert_close(grid, TinyBackbone().encode(image[None])[0])


def test_nothing_gives_nothing_and_batches_must_hold_something() -> None:
    assert encode_all(TinyBackbone(), []) == []
    with pytest.raises(ValueError, match="batch_size is 0"):
        encode_all(TinyBackbone(), [], batch_size=0)


class Small(Counting):
    """An encoder on a device that holds two images."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().encode(pixels)


def numbered(sizes: list[tuple[int, int]]) -> Iterator[tuple[int, list[torch.Tensor]]]:
    return ((index, [torch.full((3, *size), float(index))]) for index, size in enumerate(sizes))


def test_a_batch_that_does_not_fit_the_device_is_halved_and_that_is_said_once() -> None:
    encoder = Small()
    batches = Batches(encoder, 8)
    with pytest.warns(UserWarning, match="too little memory for 8 images at once") as told:
        found = list(encode_stream(batches, numbered([(16, 16)] * 19)))
    assert len(told) == 1
    assert batches.size == 2
    assert max(count for count, *_ in encoder.batches) == 2
    assert [index for index, _ in found] == list(range(19))
    for index, (grid,) in found:
        expected = TinyBackbone().encode(torch.full((1, 3, 16, 16), float(index)))[0]
        torch.testing.assert_close(grid, expected, rtol=0, atol=1e-5)


def test_one_image_that_does_not_fit_the_device_and_a_lacking_operator_are_errors() -> None:
    class Full(TinyBackbone):
        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    class Lacking(TinyBackbone):
        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError(MISSING_ON_MPS)

    image = torch.zeros(3, 16, 16)
    with pytest.raises(DeviceError, match="out of memory: choose smaller images or another device"):
        Batches(Full(), 4).encode([image])
    with pytest.raises(
        DeviceError, match=r"'aten::_linalg_solve_ex\.result' for MPS: set PYTORCH_ENABLE_MPS_"
    ):
        Batches(Lacking(), 4).encode([image, image])


def test_a_stream_of_mixed_sizes_keeps_its_order_and_few_images_wait() -> None:
    """One size is rare: its first image must not let the others pile up behind it."""
    sizes = [(16, 24) if index % 7 == 3 else (32, 16) for index in range(40)]
    taken: list[int] = []

    def items() -> Iterator[tuple[int, list[torch.Tensor]]]:
        for item in numbered(sizes):
            taken.append(item[0])
            yield item

    encoder = Counting()
    for done, (index, (grid,)) in enumerate(encode_stream(Batches(encoder, 4), items(), most_waiting=6)):
        assert index == done
        assert len(taken) <= done + 1 + 4 * 6
        assert grid.shape == (24, sizes[index][0] // 8, sizes[index][1] // 8)
        expected = TinyBackbone().encode(torch.full((1, 3, *sizes[index]), float(index)))[0]
        torch.testing.assert_close(grid, expected, rtol=0, atol=1e-5)
    full = [count for count, *size in encoder.batches if size == [32, 16]]
    assert full.count(4) >= 7  # of 34 images of that size
