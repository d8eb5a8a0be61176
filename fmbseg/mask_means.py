"""The mean of a map's vectors under masks, weighted by how much of each cell a mask covers.

Stage 1.2 and deployment both name masks by these means, as they are: a mask's score for a word is then the
mean of its cells' scores, whatever is taken off them (hubness). Brought to unit length first, they named
masks no better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

if TYPE_CHECKING:
    from fmbseg.masks import MaskSet

_TINY = torch.finfo(torch.float32).tiny


def mask_means(masks: MaskSet, text_map: torch.Tensor) -> torch.Tensor:
    """The mean vector of a map under each mask.

    A cell is weighted by the share that the mask covers, so that masks smaller than a cell have a vector as
    well: that of the cells they overlap.

    Args:
        masks: N masks of an image.
        text_map: (D, h, w), which covers the image.

    Returns:
        (N, D), on the map's device; zeros for an empty mask.

    Example:
        >>> import numpy as np
        >>> from fmbseg.masks import MaskSet
        >>> left_right = torch.tensor([[[2.0, 4.0]]])  # two cells of two pixels each
        >>> three = np.array([[[True, True, True, False]]])
        >>> round(mask_means(MaskSet.from_masks(three), left_right).item(), 3)
        2.667
    """
    dim, rows, columns = text_map.shape
    cells = text_map.reshape(dim, -1).T
    means = text_map.new_empty(len(masks), dim)
    for index in range(len(masks)):  # one at a time: N masks at full size may not fit
        mask = torch.from_numpy(masks.decode(index))[None, None].to(text_map)
        covered = F.adaptive_avg_pool2d(mask, (rows, columns)).flatten()
        means[index] = (covered / covered.sum().clamp(min=_TINY)) @ cells
    return means
