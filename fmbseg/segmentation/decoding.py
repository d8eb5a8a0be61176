"""From a text-space map to the winning class of every pixel, in bounded memory.

Similarities are up-sampled bilinearly to the image and reduced to the best class (paper §3.3). Up-sampling
every class before the reduction would need classes x pixels of memory. Here similarities are made for two
rows of the grid at a time, and a block of pixels is up-sampled and reduced at a time: the same numbers.

Between four neighbouring cells every up-sampled value is a weighted mean of the four. A class that is below
another at all four can win nowhere between them, and is left out there before anything is up-sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_VALUES = 2**21
"""Similarities up-sampled at once, at most (8 MB in float32), unless one pixel's classes are more."""


class Decoded(NamedTuple):
    """The reduction of K similarities a pixel.

    Attributes:
        labels: (H, W) int32, index of the most similar text.
        scores: (H, W), its similarity, in the type of the map.
        top_labels: (n, H, W) int32, the n most similar texts, best first; None where n is 1.
        top_scores: (n, H, W), their similarities; None where n is 1.
        log_sum: (H, W), logarithm of the sum of exp(similarity / temperature) over all texts; None where
            no temperature was given.
    """

    labels: torch.Tensor
    scores: torch.Tensor
    top_labels: torch.Tensor | None = None
    top_scores: torch.Tensor | None = None
    log_sum: torch.Tensor | None = None


def decode(
    text_map: torch.Tensor,
    prototypes: torch.Tensor,
    size: tuple[int, int],
    *,
    top: int = 1,
    temperature: float | None = None,
    block_values: int = BLOCK_VALUES,
) -> Decoded:
    """Find the most similar text of every pixel.

    The same as ``F.interpolate(similarity, size, mode="bilinear", align_corners=False)`` followed by the
    maximum over classes; of classes that are equally similar the first wins.

    Args:
        text_map: (D, h, w) of the text space.
        prototypes: (K, D), one unit vector a class.
        size: height and width of the result in pixels.
        top: how many of the best texts of a pixel to keep; as many as there are, if there are fewer.
        temperature: of the softmax whose denominator is wanted, if it is.
        block_values: similarities up-sampled at once.

    Example:
        >>> left_right = torch.eye(2)[:, None, :]  # one row of two cells, each of one class
        >>> decode(left_right, torch.eye(2), (1, 4)).labels.tolist()
        [[0, 0, 1, 1]]
    """
    _, rows, columns = text_map.shape
    vertical = _Line.of(rows, size[0], text_map)
    strips = _Line.of(columns, size[1], text_map).strips(max(1, block_values // len(prototypes)))
    result = _Result.empty(size, min(top, len(prototypes)), temperature, text_map)
    grid = _Rows(text_map, prototypes)
    prune = result.top == 1 and temperature is None
    for upper, ys in vertical.runs():
        lower = min(upper + 1, rows - 1)
        for strip in strips:
            block = strip.between(grid[upper], grid[lower], prune=prune)
            for part in _parts(ys, block_values, block.upper.numel()):
                result.put(part, strip.pixels, block, vertical.weight[part])
    return result.decoded()


@dataclass(frozen=True)
class _Line:
    """For each pixel of a line the cell before its centre, and the weight of the cell after it."""

    first: torch.Tensor
    weight: torch.Tensor
    cells: int

    @classmethod
    def of(cls, cells: int, pixels: int, like: torch.Tensor) -> _Line:
        centres = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
        centres = centres.clamp(min=0)
        first = centres.floor().long().clamp(max=cells - 1)
        return cls(first, (centres - first).to(like), cells)

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Yield each cell with the pixels that lie behind its centre, if there are any."""
        cells, counts = torch.unique_consecutive(self.first, return_counts=True)
        start = 0
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
            yield cell, slice(start, start + count)
            start += count

    def strips(self, pixels: int) -> list[_Strip]:
        """Cut the line into strips of so many pixels, at most."""
        starts = range(0, len(self.first), pixels)
        return [self._strip(slice(start, min(start + pixels, len(self.first)))) for start in starts]

    def _strip(self, pixels: slice) -> _Strip:
        left, cell = torch.unique_consecutive(self.first[pixels], return_inverse=True)
        right = (left + 1).clamp(max=self.cells - 1)
        slide = self.weight[pixels, None]
        return _Strip(pixels, left.to(slide.device), right.to(slide.device), cell.to(slide.device), slide)


class _Rows:
    """Similarities of one row of the grid, (w, K), made when asked for; the last two are kept."""

    def __init__(self, text_map: torch.Tensor, prototypes: torch.Tensor) -> None:
        self._map, self._texts = text_map, prototypes.T
        self._kept: dict[int, torch.Tensor] = {}

    def __getitem__(self, row: int) -> torch.Tensor:
        if row not in self._kept:
            self._kept = {kept: values for kept, values in self._kept.items() if kept == row - 1}
            self._kept[row] = self._map[:, row].T @ self._texts
        return self._kept[row]


@dataclass(frozen=True)
class _Block:
    """Two rows of the grid, up-sampled along the row to the pixels of a strip.

    Attributes:
        upper: (X, M).
        lower: (X, M).
        classes: (M, X) which classes these are; None where they are all, in order.
    """

    upper: torch.Tensor
    lower: torch.Tensor
    classes: torch.Tensor | None


@dataclass(frozen=True)
class _Strip:
    """Neighbouring pixels of a row, with the cells to the left and right of each.

    Attributes:
        pixels: which they are.
        left: (C,) the cells to their left, each once.
        right: (C,) the cells next to those.
        cell: (X,) each pixel's position in ``left``.
        slide: (X, 1) weight of the right cell.
    """

    pixels: slice
    left: torch.Tensor
    right: torch.Tensor
    cell: torch.Tensor
    slide: torch.Tensor

    def between(self, upper: torch.Tensor, lower: torch.Tensor, *, prune: bool) -> _Block:
        """Up-sample two rows of similarities (w, K) to the strip; only classes that can win, if pruned."""
        corners = [upper[self.left], upper[self.right], lower[self.left], lower[self.right]]
        classes = _candidates(corners) if prune else None
        if classes is not None:
            corners = [corner.gather(1, classes) for corner in corners]
            classes = classes[self.cell].T
        a, b, c, d = (corner[self.cell] for corner in corners)
        return _Block(torch.lerp(a, b, self.slide), torch.lerp(c, d, self.slide), classes)


def _candidates(corners: list[torch.Tensor]) -> torch.Tensor:
    """Classes that can win somewhere between four corners, each (C, K); (C, M), filled up with the first.

    A class is out if one of five others is above it at all four corners, by more than rounding could undo:
    the best at each corner, and the best of their sum.
    """
    peak = torch.stack([corner.abs().amax() for corner in corners]).amax()
    margin = 16 * torch.finfo(peak.dtype).eps * peak
    middle = corners[0] + corners[1] + corners[2] + corners[3]
    out = torch.zeros_like(middle, dtype=torch.bool)
    for place in (middle, *corners):
        rival = place.argmax(1, keepdim=True)
        below = [corner < corner.gather(1, rival) - margin for corner in corners]
        out |= below[0] & below[1] & below[2] & below[3]
    cell, kept = (~out).nonzero(as_tuple=True)  # ordered by cell, then by class
    counts = (~out).sum(1)
    starts = counts.cumsum(0) - counts
    classes = kept[starts][:, None].repeat(1, int(counts.max()))
    classes[cell, torch.arange(len(kept), device=kept.device) - starts[cell]] = kept
    return classes


@dataclass(frozen=True)
class _Result:
    """What is filled block by block."""

    labels: torch.Tensor
    scores: torch.Tensor
    log_sum: torch.Tensor | None
    temperature: float | None

    @classmethod
    def empty(cls, size: tuple[int, int], top: int, temperature: float | None, like: torch.Tensor) -> _Result:
        return cls(
            labels=torch.empty(top, *size, dtype=torch.int32, device=like.device),
            scores=like.new_empty(top, *size),
            log_sum=None if temperature is None else like.new_empty(size),
            temperature=temperature,
        )

    @property
    def top(self) -> int:
        return len(self.labels)

    def put(self, ys: slice, xs: slice, block: _Block, weight: torch.Tensor) -> None:
        values = torch.lerp(block.upper, block.lower, weight[:, None, None])  # (Y, X, M)
        if self.log_sum is not None and self.temperature is not None:
            self.log_sum[ys, xs] = (values / self.temperature).logsumexp(-1)
        if self.top > 1:
            scores, where = values.topk(self.top, dim=-1)
            self.labels[:, ys, xs] = where.permute(2, 0, 1).to(torch.int32)
            self.scores[:, ys, xs] = scores.permute(2, 0, 1)
            return
        scores, where = values.max(dim=-1)
        if block.classes is not None:
            where = block.classes.gather(0, where)
        self.labels[0, ys, xs] = where.to(torch.int32)
        self.scores[0, ys, xs] = scores

    def decoded(self) -> Decoded:
        several = self.top > 1
        return Decoded(
            self.labels[0],
            self.scores[0],
            self.labels if several else None,
            self.scores if several else None,
            self.log_sum,
        )


def _parts(pixels: slice, values: int, each: int) -> Iterator[slice]:
    """Cut a run of rows so that a part's rows, of ``each`` values, keep to ``values``."""
    step = max(1, values // max(each, 1))
    for start in range(pixels.start, pixels.stop, step):
        yield slice(start, min(start + step, pixels.stop))
