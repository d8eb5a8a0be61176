"""Position embeddings of CLIP for other crops, resized as the authors of each dense variant do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

OFFSET = 0.1
"""Added to the wanted side before it becomes a scale factor, as DINO's code does."""

WITH_OFFSET: AbstractSet[str] = frozenset({"value", "sclip", "clearclip", "naclip"})
"""Dense variants whose code resizes the table this way."""


def resized_positions(table: torch.Tensor, side: int, dense: str, prefix: int = 1) -> torch.Tensor:
    """Resize a table to another grid, bicubically; the class token's entry stays as it is.

    The code of SCLIP, ClearCLIP, NACLIP and FeatUp (``value``) resizes by the scale factor
    ``(side + 0.1) / n``, which shifts the sampled places a little; MaskCLIP's resizes to the side
    itself. At the model's own crop size there is nothing to resize.

    Args:
        table: (prefix + n * n, C), the class token first.
        side: number of cells in height and width.
        dense: name of the dense variant.
        prefix: 1 if there is a class token, else 0.

    Returns:
        (prefix + side * side, C).

    Example:
        >>> table = torch.arange(5.0)[:, None]
        >>> resized_positions(table, 3, "maskclip").shape
        torch.Size([10, 1])
    """
    own = round((len(table) - prefix) ** 0.5)
    if own == side:
        return table
    grid = rearrange(table[prefix:].detach().float(), "(h w) c -> 1 c h w", h=own)
    if dense in WITH_OFFSET:
        scale = (side + OFFSET) / own
        grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    else:
        grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return torch.cat([table[:prefix].detach(), rearrange(grid, "1 c h w -> (h w) c").to(table.dtype)])
