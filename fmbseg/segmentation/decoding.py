"""From a text-space map to the winning class of every pixel, in bounded memory.

Similarities are up-sampled bilinearly to the image and reduced to the best class (paper §3.3). Up-sampling
every class before the reduction would need classes x pixels of memory. Here similarities are made for some of
the classes and rows of the grid at a time, a block of pixels is up-sampled and reduced at a time, and the
result so far is the only thing that is kept: the numbers are the same, and neither more classes nor more
pixels need more memory.

Between four neighbouring cells every up-sampled value is a weighted mean of the four. A class that is below
another at all four can win nowhere between them, and is left out there before anything is up-sampled. On an
accelerator all are up-sampled: to know which can win, the processor would have to wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.segment_settings import KnowledgePreservation

BLOCK_VALUES = 2**17
"""Similarities up-sampled at once, at most (512 KB in float32, which a cache holds)."""

_ACCELERATOR_BLOCKS = 2**8
"""Times as many are up-sampled at once on an accelerator (128 MB)."""

BLOCK_CLASSES = 1024
"""Classes compared at once, at most; their similarities are needed at a few rows of the grid only."""


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


@dataclass(frozen=True, eq=False)
class SecondMap:
    """Another map of the same image, whose similarities are mixed into the first one's at every cell.

    Args:
        text_map: (D, h, w), on the grid of the first.
        settings: how they are mixed.
    """

    text_map: torch.Tensor
    settings: KnowledgePreservation

    def mix(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Mix similarities to the first map and to this one."""
        settings = self.settings
        if settings.slope is not None:
            second = torch.sigmoid((second - settings.center) * settings.slope)
        return torch.lerp(first, second, settings.weight)


def decode(
    text_map: torch.Tensor,
    prototypes: torch.Tensor,
    size: tuple[int, int],
    *,
    second: SecondMap | None = None,
    top: int = 1,
    temperature: float | None = None,
    block_values: int = BLOCK_VALUES,
    block_classes: int = BLOCK_CLASSES,
) -> Decoded:
    """Find the most similar text of every pixel.

    The same as ``F.interpolate(similarity, size, mode="bilinear", align_corners=False)`` followed by the
    maximum over classes; of classes that are equally similar the first wins.

    Args:
        text_map: (D, h, w), in the text space.
        prototypes: (K, D), one unit vector a class.
        size: height and width of the result in pixels.
        second: another map, which is mixed in.
        top: how many of the best texts of a pixel to keep; as many as there are, if there are fewer.
        temperature: of the softmax whose denominator is wanted, if it is.
        block_values: similarities up-sampled at once.
        block_classes: classes compared at once; at least ``top``.

    Example:
        >>> left_right = torch.eye(2)[:, None, :]  # one row of two cells, each of one class
        >>> decode(left_right, torch.eye(2), (1, 4)).labels.tolist()
        [[0, 0, 1, 1]]
    """
    _, rows, columns = text_map.shape
    vertical, horizontal = _Line.of(rows, size[0], text_map), _Line.of(columns, size[1], text_map)
    result = _Result.empty(size, min(top, len(prototypes)), temperature, text_map)
    prune = result.top == 1 and temperature is None
    several = max(block_classes, result.top)
    for start in range(0, len(prototypes), several):
        texts = prototypes[start : start + several]
        grid = _Rows(text_map, texts, second)
        if not _knows_for_nothing(text_map.device):
            _put_all(result, grid.whole(), (vertical, horizontal), _ACCELERATOR_BLOCKS * block_values, start)
            continue
        for runs in _groups(vertical.runs(), block_values // (4 * columns * len(texts))):
            cells = _Cells.between(*grid.around([upper for upper, _ in runs]), prune=prune)
            for xs in _parts(slice(0, size[1]), block_values, len(runs) * cells.most):
                for block, (_, ys) in zip(cells.up_sample(horizontal, xs), runs, strict=True):
                    for part in _parts(ys, block_values, block.upper.numel()):
                        result.put(part, xs, block.at(vertical.weight[part]), block.classes, start)
    return result.decoded()


@dataclass(frozen=True)
class _Line:
    """For each pixel of a line the cell before its centre, and the weight of the cell after it."""

    first: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def of(cls, cells: int, pixels: int, like: torch.Tensor) -> _Line:
        centres = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
        centres = centres.clamp(min=0)
        first = centres.floor().long().clamp(max=cells - 1)
        return cls(first.to(like.device), (centres - first).to(like))

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Yield each cell with the pixels that lie behind its centre, if there are any."""
        cells, counts = torch.unique_consecutive(self.first, return_counts=True)
        start = 0
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
            yield cell, slice(start, start + count)
            start += count


class _Rows:
    """Similarities of rows of the grid, (w, K) each, made when asked for; the last two are kept.

    Each is made by itself, so that its bits do not depend on how rows are grouped.
    """

    def __init__(self, text_map: torch.Tensor, prototypes: torch.Tensor, second: SecondMap | None) -> None:
        self._map, self._texts, self._second = text_map, prototypes.T, second
        self._kept: dict[int, torch.Tensor] = {}

    def around(self, uppers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some rows and the rows below them, (R, w, K) each; the last row is the one below itself."""
        pairs = [(self._row(upper), self._row(min(upper + 1, self._map.shape[1] - 1))) for upper in uppers]
        upper, lower = zip(*pairs, strict=True)
        return torch.stack(upper), torch.stack(lower)

    def whole(self) -> torch.Tensor:
        """All rows, (h, w, K)."""
        return self.around(list(range(self._map.shape[1])))[0]

    def _row(self, row: int) -> torch.Tensor:
        if row not in self._kept:
            self._kept = {kept: values for kept, values in self._kept.items() if kept == row - 1}
            similarity = self._map[:, row].T @ self._texts
            if self._second is not None:
                similarity = self._second.mix(similarity, self._second.text_map[:, row].T @ self._texts)
            self._kept[row] = similarity
        return self._kept[row]


@dataclass(frozen=True)
class _Block:
    """Two rows of the grid, up-sampled along the row to X pixels.

    Attributes:
        upper: (X, M).
        lower: (X, M).
        classes: (X, M) which classes these are; None where they are all, in order.
    """

    upper: torch.Tensor
    lower: torch.Tensor
    classes: torch.Tensor | None

    def at(self, weight: torch.Tensor) -> torch.Tensor:
        """Similarities (Y, X, M) of Y rows of pixels, from the lower row's weight in each."""
        return torch.lerp(self.upper, self.lower, weight[:, None, None])


@dataclass(frozen=True)
class _Cells:
    """What can win between some rows of the grid and the rows below, with the similarities at four corners.

    Attributes:
        corners: upper left, upper right, lower left and lower right, (R, w, M) each.
        classes: (R, w, M) which classes these are; None where they are all, in order.
        counts: how many of a cell's M classes are not a repetition of its first, by row.
    """

    corners: list[torch.Tensor]
    classes: torch.Tensor | None
    counts: list[list[int]]

    @classmethod
    def between(cls, upper: torch.Tensor, lower: torch.Tensor, *, prune: bool) -> _Cells:
        """Take rows of similarities (R, w, K); only classes that can win, if pruned."""
        rows, columns, classes = upper.shape
        right = torch.arange(1, columns + 1, device=upper.device).clamp(max=columns - 1)
        corners = [upper, upper[:, right], lower, lower[:, right]]
        if not prune:
            return cls(corners, None, [[classes] * columns] * rows)
        corners = [corner.flatten(0, 1) for corner in corners]
        places, counts = _candidates(corners)
        kept = [corner.gather(1, places).view(rows, columns, -1) for corner in corners]
        return cls(kept, places.view(rows, columns, -1), counts.view(rows, columns).tolist())

    @property
    def most(self) -> int:
        """Classes of a cell, at most."""
        return max(map(max, self.counts))

    def up_sample(self, line: _Line, xs: slice) -> Iterator[_Block]:
        """Go along the rows to some of their pixels; one block a row."""
        cell, slide = line.first[xs], line.weight[xs, None]
        seen = slice(int(cell[0]), int(cell[-1]) + 1)
        counts = [max(row[seen]) for row in self.counts]
        a, b, c, d = (corner[..., : max(counts)] for corner in self.corners)
        upper = torch.lerp(a[:, cell], b[:, cell], slide)
        lower = torch.lerp(c[:, cell], d[:, cell], slide)
        classes = None if self.classes is None else self.classes[..., : max(counts)][:, cell]
        for row, most in enumerate(counts):
            yield _Block(
                upper[row, :, :most],
                lower[row, :, :most],
                None if classes is None else classes[row, :, :most],
            )


def _candidates(corners: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes that can win somewhere between four corners, each (C, K); (C, M) and the count of each cell.

    Places that are left are filled up with the first. A class is out if one of five others is above it at all
    four corners, by more than rounding could undo: the best at each corner, and the best of their sum.
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
    return classes, counts


@dataclass(frozen=True)
class _Result:
    """What is filled block by block, and of several blocks of classes keeps the best."""

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

    def put(
        self, ys: slice, xs: slice, values: torch.Tensor, classes: torch.Tensor | None, start: int
    ) -> None:
        """Take similarities (Y, X, M) of a block, whose first class is the ``start``-th of all."""
        if self.log_sum is not None and self.temperature is not None:
            log_sum = (values / self.temperature).logsumexp(-1)
            so_far = self.log_sum[ys, xs]
            so_far.copy_(log_sum if start == 0 else torch.logaddexp(so_far, log_sum))
        scores, where = _best(values, self.top)
        if classes is not None:
            where = classes.expand(len(values), -1, -1).gather(-1, where)
        if not start and self.top == 1:
            self.labels[0, ys, xs] = where[..., 0]
            self.scores[0, ys, xs] = scores[..., 0]
            return
        labels = where.to(torch.int32).add_(start)
        if start:
            # Earlier classes first, so that of equal ones the first wins.
            labels = torch.cat([self.labels[:, ys, xs].permute(1, 2, 0), labels], dim=-1)
            scores, where = _best(
                torch.cat([self.scores[:, ys, xs].permute(1, 2, 0), scores], dim=-1), self.top
            )
            labels = labels.gather(-1, where)
        self.labels[:, ys, xs] = labels.permute(2, 0, 1)
        self.scores[:, ys, xs] = scores.permute(2, 0, 1)

    def decoded(self) -> Decoded:
        several = self.top > 1
        return Decoded(
            self.labels[0],
            self.scores[0],
            self.labels if several else None,
            self.scores if several else None,
            self.log_sum,
        )


def _best(values: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best few of the last dimension and where they are; of equal ones the first.

    ``values`` are used up.
    """
    if top == 1:
        return values.max(dim=-1, keepdim=True)
    count = values.shape[-1]
    scores, where = values.topk(min(top, count), dim=-1)
    as_high = torch.count_nonzero(values >= scores[..., -1:])
    if as_high == scores.numel() and not (scores[..., 1:] == scores[..., :-1]).any():
        return scores, where
    places = []  # of equal ones `topk` takes any, the maximum the first
    for _ in range(min(top, count)):
        places.append(values.max(dim=-1, keepdim=True).indices)
        values.scatter_(-1, places[-1], -torch.inf)
    return scores, torch.cat(places, dim=-1)


def _knows_for_nothing(device: torch.device) -> bool:
    """Whether a value that was computed there can be looked at without waiting."""
    return device.type == "cpu"


def _put_all(
    result: _Result, similarity: torch.Tensor, lines: tuple[_Line, _Line], values: int, start: int
) -> None:
    """Up-sample similarities (h, w, K) of all classes to so many values at a time."""
    vertical, horizontal = lines
    rows, columns, classes = similarity.shape
    width = len(horizontal.first)
    below, right = (vertical.first + 1).clamp(max=rows - 1), (horizontal.first + 1).clamp(max=columns - 1)
    for ys in _parts(slice(0, len(vertical.first)), values, width * classes):
        upper, lower = similarity[vertical.first[ys]], similarity[below[ys]]
        lines_of_cells = torch.lerp(upper, lower, vertical.weight[ys, None, None])
        block = torch.lerp(
            lines_of_cells[:, horizontal.first], lines_of_cells[:, right], horizontal.weight[:, None]
        )
        result.put(ys, slice(0, width), block, None, start)


def _groups(runs: Iterator[tuple[int, slice]], size: int) -> Iterator[list[tuple[int, slice]]]:
    """Take so many runs at once, at least one."""
    while group := list(islice(runs, max(1, size))):
        yield group


def _parts(pixels: slice, values: int, each: int) -> Iterator[slice]:
    """Cut a run of pixels so that a part's, of ``each`` values, keep to ``values``."""
    step = max(1, values // max(each, 1))
    for start in range(pixels.start, pixels.stop, step):
        yield slice(start, min(start + step, pixels.stop))
