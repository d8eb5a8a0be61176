"""Pixel-adaptive mask refinement: neighbours of similar colour get similar scores.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (CVPR 2020), section 3.4. A pixel
becomes the mean of its neighbours at several distances, weighted by how near their colours are to its own,
measured against the spread of colours around it; and so on, a few times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.segment_settings import Pamr

_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def refine(scores: torch.Tensor, pixels: torch.Tensor, settings: Pamr) -> torch.Tensor:
    """Refine the scores of each class by itself.

    Args:
        scores: (K, H, W).
        pixels: (3, H, W) the image, in any affine scale: weights do not depend on it.
        settings: iterations and distances.

    Returns:
        (K, H, W), each value a weighted mean of those around it.

    Example:
        >>> from fmbseg.segment_settings import Pamr
        >>> refine(torch.ones(2, 4, 5), torch.rand(3, 4, 5), Pamr()).allclose(torch.ones(2, 4, 5))
        True
    """
    weights = affinities(pixels, settings.dilations)
    refined = torch.empty_like(scores)
    for index, one in enumerate(scores):  # a class at a time: neighbours of all classes would not fit
        for _ in range(settings.iterations):
            one = _mean_of_neighbours(one, weights, settings.dilations)
        refined[index] = one
    return refined


def affinities(pixels: torch.Tensor, dilations: tuple[int, ...]) -> torch.Tensor:
    """Weight of each neighbour of each pixel, (8 x dilations, H, W); they add up to 1."""
    # As in the paper's code, the pixel itself takes part in the spread once for each distance. One neighbour
    # at a time: all at once would need as many images as there are neighbours.
    count = len(dilations) * (len(_DIRECTIONS) + 1)
    mean = (sum(_neighbours(pixels, dilations), len(dilations) * pixels)) / count
    squares = len(dilations) * (pixels - mean).square()
    for neighbour in _neighbours(pixels, dilations):
        squares += (neighbour - mean).square_()
    spread = 1e-8 + 0.1 * (squares / (count - 1)).sqrt()
    near = [
        ((neighbour - pixels).abs_() / spread).mean(dim=0) for neighbour in _neighbours(pixels, dilations)
    ]
    return torch.stack(near).neg_().softmax(dim=0)


def _mean_of_neighbours(
    plane: torch.Tensor, weights: torch.Tensor, dilations: tuple[int, ...]
) -> torch.Tensor:
    total = torch.zeros_like(plane)
    for weight, neighbour in zip(weights, _neighbours(plane[None], dilations), strict=True):
        total.addcmul_(weight, neighbour[0])
    return total


def _neighbours(planes: torch.Tensor, dilations: tuple[int, ...]) -> Iterator[torch.Tensor]:
    """Yield the planes (C, H, W) moved to each neighbour; the border is repeated outwards."""
    height, width = planes.shape[-2:]
    reach = max(dilations)
    padded = F.pad(planes[None], (reach, reach, reach, reach), mode="replicate")[0]
    for dilation in dilations:
        for down, right in _DIRECTIONS:
            top, left = reach + down * dilation, reach + right * dilation
            yield padded[:, top : top + height, left : left + width]
