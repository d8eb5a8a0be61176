"""Bilinear interpolation of many maps of one size, by the weights that PyTorch gives to rows and columns.

A mask's logits are enlarged to SAM's frame, cut, and resized to the photograph. Each number of the result
mixes at most three neighbours of the first map along each axis, whatever the sizes, so one pass along each
axis gives it, in less time than ``torch.nn.functional.interpolate`` takes for two steps on a CPU. Numbers
differ from its own only by rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

_NEIGHBOURS = 3
_MIXED_AT_ONCE_ON_CPU = 2**18  # numbers, which stay in the cache until all neighbours are in


class Resize(NamedTuple):
    """A resize to a length, of which the first ``kept`` are kept."""

    length: int
    kept: int


class Mixture(NamedTuple):
    """How each of L places mixes neighbours.

    Attributes:
        neighbours: (3, L) which ones.
        weights: (3, L, 1) float32.
    """

    neighbours: torch.Tensor
    weights: torch.Tensor


def resize(maps: torch.Tensor, down: tuple[Resize, ...], across: tuple[Resize, ...]) -> torch.Tensor:
    """Resize maps (N, h, w) bilinearly, in steps along each axis: (N, H, W).

    Args:
        maps: float32.
        down: steps of the rows. Those before the last must not make less of what they get.
        across: steps of the columns, alike.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> resize(maps, (Resize(2, 1),), (Resize(4, 4),))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    rows, columns = maps.shape[1:]
    wide = _mix(maps.transpose(1, 2).contiguous(), mixture(columns, across, maps.device))
    return _mix(wide.transpose(1, 2).contiguous(), mixture(rows, down, maps.device))


@lru_cache(maxsize=64)
def mixture(length: int, steps: tuple[Resize, ...], device: torch.device) -> Mixture:
    """What PyTorch makes of each of ``length`` places in these steps, read from its own result.

    Example:
        >>> steps = (Resize(4, 3), Resize(2, 2))
        >>> found = mixture(2, steps, torch.device("cpu"))
        >>> found.neighbours.tolist()
        [[0, 0], [1, 1], [1, 1]]
        >>> found.weights.flatten(1).T.tolist()
        [[0.9375, 0.0625, 0.0], [0.375, 0.625, 0.0]]
    """
    of_each = torch.eye(length)[None]  # a channel for each place
    for step in steps:
        of_each = F.interpolate(of_each, step.length, mode="linear", align_corners=False)[..., : step.kept]
    of_each = of_each[0]
    first = (of_each != 0).int().argmax(dim=0)
    neighbours = first + torch.arange(_NEIGHBOURS)[:, None]
    inside = neighbours < length
    neighbours = neighbours.clamp(max=length - 1)
    weights = (of_each.gather(0, neighbours) * inside)[:, :, None]
    return Mixture(neighbours.to(device), weights.to(device))


def _mix(maps: torch.Tensor, how: Mixture) -> torch.Tensor:
    """Mix the rows of maps (N, h, W), to (N, H, W)."""
    count, _, width = maps.shape
    height = how.neighbours.shape[1]
    mixed = maps.new_empty(count, height, width)
    step = height if maps.device.type != "cpu" else max(1, _MIXED_AT_ONCE_ON_CPU // max(1, count * width))
    for start in range(0, height, step):
        part = slice(start, start + step)
        target = mixed[:, part]
        first, *others = zip(how.neighbours[:, part], how.weights[:, part], strict=True)
        torch.mul(maps.index_select(1, first[0]), first[1], out=target)
        for rows, weights in others:
            target.addcmul_(maps.index_select(1, rows), weights)
    return mixed
