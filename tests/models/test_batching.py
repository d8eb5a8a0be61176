import pytest
import torch

from fmbseg.models.batching import encode_all
from tests.aligned.tiny import TinyBackbone


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
