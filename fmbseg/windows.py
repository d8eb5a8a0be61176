"""Sliding windows over a resized image, and the map that their features are stitched into.

Stage 1 cuts its crops with them (paper §3.2), deployment its windows (TCL's protocol: short side 448, window
448, stride 224). Windows lie on the model's own feature grid, so that overlapping features are averaged
cell by cell, without interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

MAX_LONG_SIDE = 2048
"""Greatest length of the long side after resizing, for very elongated images (TCL's protocol)."""


@dataclass(frozen=True)
class WindowPlan:
    """The windows of one image; all lengths except ``stride`` are in cells of the feature grid.

    Args:
        stride: pixels per cell.
        grid: height and width of the whole feature grid.
        window: height and width of every window.
        origins: top and left of each window, row by row.

    Example:
        >>> plan = WindowPlan.cover((480, 640), short_side=448, window=224, step=112, stride=16)
        >>> plan.grid, plan.image_size, plan.window, len(plan.origins)
        ((28, 37), (448, 592), (14, 14), 15)
    """

    stride: int
    grid: tuple[int, int]
    window: tuple[int, int]
    origins: tuple[tuple[int, int], ...]

    @classmethod
    def cover(
        cls,
        size: tuple[int, int],
        *,
        short_side: int,
        window: int | None,
        step: int,
        stride: int,
        pad_to: int = 0,
    ) -> WindowPlan:
        """Lay windows over an image of any size.

        The image is resized so that its short side is ``short_side`` (unless the long one would pass
        :data:`MAX_LONG_SIDE`), each side rounded to whole cells. The last window of a row or column is
        moved back inside the image; an image smaller than a window has one of its own size.

        Args:
            size: height and width of the image in pixels.
            short_side: pixels of the resized image's short side.
            window: side of a window in pixels, rounded to cells; None for one window over the whole image.
            step: pixels between windows; rounded to cells, halves up, at least one, at most a window.
            stride: pixels per cell.
            pad_to: least pixels of a side of the resized image, for models that take one crop size only.
        """
        scale = min(short_side / min(size), MAX_LONG_SIDE / max(size))
        least = max(1, pad_to // stride)
        height, width = (max(least, round(side * scale / stride)) for side in size)
        side = max(height, width) if window is None else max(1, round(window / stride))
        move = min(side, max(1, int(step / stride + 0.5)))  # a longer step would leave gaps
        tall, wide = min(side, height), min(side, width)
        origins = tuple(
            (top, left)
            for top in window_starts(height, tall, move)
            for left in window_starts(width, wide, move)
        )
        return cls(stride=stride, grid=(height, width), window=(tall, wide), origins=origins)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels to which the image is resized."""
        return self.grid[0] * self.stride, self.grid[1] * self.stride

    @classmethod
    def crops(
        cls, size: tuple[int, int], *, short_side: int, crop: int, stride: int, overlap: float = 0.5
    ) -> WindowPlan:
        """Cover an over-sampled image with crops of an image-text model's own size (paper §3.2).

        Args:
            size: height and width of the image in pixels.
            short_side: pixels to which its short side is resized; at least one crop.
            crop: side of a crop in pixels.
            stride: pixels between the cells of the map.
            overlap: share of a crop that its neighbour covers, too.
        """
        step = round(crop * (1 - overlap))
        return cls.cover(size, short_side=short_side, window=crop, step=step, stride=stride, pad_to=crop)

    def cut(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Cut the resized image (3, *image_size) into one view (3, h, w) a window, in pixels."""
        tall, wide = (side * self.stride for side in self.window)
        corners = ((top * self.stride, left * self.stride) for top, left in self.origins)
        return [pixels[:, top : top + tall, left : left + wide] for top, left in corners]

    def stitch(self, maps: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
        """Average the windows' maps, each (D, *window), where they overlap.

        Returns:
            (D, *grid), not normalised: the mean of unit vectors is shorter where windows disagree, and its
            dot product with a text is the mean of the windows' similarities.
        """
        tall, wide = self.window
        if len(self.origins) == 1:  # it covers the grid
            return maps[0]
        total = maps[0].new_zeros(maps[0].shape[0], *self.grid)
        count = maps[0].new_zeros(self.grid)
        for (top, left), one in zip(self.origins, maps, strict=True):
            total[:, top : top + tall, left : left + wide] += one
            count[top : top + tall, left : left + wide] += 1
        return total / count


def window_starts(length: int, window: int, step: int) -> list[int]:
    """Starts of windows that cover ``length``: ``step`` apart, the last one moved back inside.

    Example:
        >>> window_starts(14, 7, 4)
        [0, 4, 7]
    """
    last = max(length - window, 0)
    return [*range(0, last, step), last]
