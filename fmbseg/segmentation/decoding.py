"""From a text-space map to the winning class of every pixel, in blocks of rows.

Similarities are up-sampled bilinearly to the image and reduced to the best class (paper §3.3). Up-sampling
every class before the reduction would need classes x pixels of memory; here a block of rows is up-sampled
and reduced at a time, which gives the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

BLOCK_VALUES = 2**24
"""Similarities held at once, at most (64 MB in float32), unless one row of all classes is more."""


class Decoded(NamedTuple):
    """The reduction of K similarities a pixel.

    Attributes:
        labels: (H, W) int64, index of the most similar text.
        scores: (H, W) float32, its similarity.
    """

    labels: torch.Tensor
    scores: torch.Tensor


def decode(
    text_map: torch.Tensor,
    prototypes: torch.Tensor,
    size: tuple[int, int],
    *,
    block_values: int = BLOCK_VALUES,
) -> Decoded:
    """Find the most similar text of every pixel.

    The same as ``F.interpolate(similarity, size, mode="bilinear", align_corners=False)`` followed by the
    maximum over classes.

    Args:
        text_map: (D, h, w) of the text space.
        prototypes: (K, D), one unit vector a class.
        size: height and width of the result in pixels.
        block_values: similarities held at once.

    Example:
        >>> left_right = torch.eye(2)[:, None, :]  # one row of two cells, each of one class
        >>> decode(left_right, torch.eye(2), (1, 4)).labels.tolist()
        [[0, 0, 1, 1]]
    """
    height, width = size
    similarity = torch.einsum("kd,dhw->khw", prototypes, text_map)
    classes, rows, columns = similarity.shape
    up, down, weight = _neighbours(rows, height, similarity)
    left, right, slide = _neighbours(columns, width, similarity)
    labels = torch.empty(size, dtype=torch.int64, device=similarity.device)
    scores = torch.empty(size, dtype=similarity.dtype, device=similarity.device)
    step = max(1, block_values // (classes * width))
    for top in range(0, height, step):
        block = slice(top, top + step)
        tall = torch.lerp(similarity[:, up[block]], similarity[:, down[block]], weight[block, None])
        whole = torch.lerp(tall[..., left], tall[..., right], slide)
        torch.max(whole, dim=0, out=(scores[block], labels[block]))
    return Decoded(labels, scores)


def _neighbours(
    cells: int, pixels: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each pixel of a line the two cells around its centre, and the weight of the second."""
    centres = (torch.arange(pixels, device=like.device, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
    centres = centres.clamp(min=0)
    first = centres.floor().long().clamp(max=cells - 1)
    return first, (first + 1).clamp(max=cells - 1), (centres - first).to(like.dtype)
