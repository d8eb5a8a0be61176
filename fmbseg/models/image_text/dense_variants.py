"""Dense features from the last block of an image-text transformer: one small function per published variant.

The class token is trained to match the texts; patch tokens are not, and the last block's attention mixes them
with the whole image. Each variant replaces that attention, and some drop the residual or the MLP. All take
the last block's input, and change no weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange

from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from fmbseg.models.image_text.blocks import LastBlock

NACLIP_SIGMA_CELLS = 5.0


class BlockInput(NamedTuple):
    """The last block's input.

    Attributes:
        states: (B, L, C); first the ``prefix`` tokens that are not cells, then the cells row by row.
        prefix: number of tokens that are not cells, such as the class token.
        grid: number of cells in height and width, h * w = L - prefix.
    """

    states: torch.Tensor
    prefix: int
    grid: tuple[int, int]


def maskclip(block: LastBlock, tokens: BlockInput) -> torch.Tensor:
    """Value path with residual and MLP; Zhou et al. 2022, "Extract Free Dense Labels from CLIP".

    arXiv 2112.01071, as its code does it: ``x + out(v)``, then ``x + mlp(ln_2(x))``.
    """
    return block.feed_forward(block.add(tokens.states, block.merge(block.values(tokens.states))))


def value(block: LastBlock, tokens: BlockInput) -> torch.Tensor:
    """Value projection alone, ``out(v)``: MaskCLIP without residual and MLP, as in FeatUp.

    Fu et al. 2024, "FeatUp: A Model-Agnostic Framework for Features at Any Resolution", arXiv 2403.10516.
    For CLIP's ResNets, FeatUp's code differs: see
    :class:`~fmbseg.models.image_text.towers.AttentionPoolTower`.
    """
    return block.merge(block.values(tokens.states))


def sclip(block: LastBlock, tokens: BlockInput) -> torch.Tensor:
    """Correlative self-attention: softmax(q q') + softmax(k k'), residual and MLP kept.

    Wang et al. 2024, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference",
    arXiv 2312.01597.
    """
    queries, keys, values = block.project(tokens.states)
    mixed = _attend(queries, values) + _attend(keys, values)
    return block.feed_forward(block.add(tokens.states, block.merge(mixed)))


def clearclip(block: LastBlock, tokens: BlockInput) -> torch.Tensor:
    """Query-query attention without residual and MLP.

    Lan et al. 2024, "ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference",
    arXiv 2407.12442.
    """
    queries, _, values = block.project(tokens.states)
    return block.merge(_attend(queries, values))


def naclip(block: LastBlock, tokens: BlockInput) -> torch.Tensor:
    """Key-key attention drawn to neighbours by a Gaussian of 5 cells, without residual and MLP.

    Hajimiri et al. 2025, "Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic
    Segmentation", arXiv 2404.08181.
    """
    _, keys, values = block.project(tokens.states)
    return block.merge(_attend(keys, values, bias=_neighbourhood(tokens).to(keys.dtype)))


DENSE_VARIANTS: dict[str, Callable[[LastBlock, BlockInput], torch.Tensor]] = {
    "maskclip": maskclip,
    "value": value,
    "sclip": sclip,
    "clearclip": clearclip,
    "naclip": naclip,
}


def dense_variant(name: str) -> Callable[[LastBlock, BlockInput], torch.Tensor]:
    """Return a variant by name.

    Raises:
        UnknownNameError: there is no variant of that name.

    Example:
        >>> dense_variant("maskclip").__name__
        'maskclip'
    """
    if name not in DENSE_VARIANTS:
        raise UnknownNameError("dense variant", name, list(DENSE_VARIANTS))
    return DENSE_VARIANTS[name]


def _attend(likes: torch.Tensor, values: torch.Tensor, *, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Attend from each token to similar ones: softmax(x x' / sqrt(d) + bias) v."""
    return F.scaled_dot_product_attention(likes, likes, values, attn_mask=bias)


def _neighbourhood(tokens: BlockInput) -> torch.Tensor:
    """exp(-distance^2 / 2 sigma^2) between cells, 0 to and from tokens that are not cells, (L, L)."""
    height, width = tokens.grid
    device = tokens.states.device
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    places = torch.stack([rows, columns], dim=-1).reshape(-1, 2).float()
    squared = (places[:, None] - places[None]).square().sum(dim=-1)
    near = torch.exp(-squared / (2 * NACLIP_SIGMA_CELLS**2))
    return F.pad(near, (tokens.prefix, 0, tokens.prefix, 0))


OFFSET = 0.1
"""Added to the wanted side before it becomes a scale factor, as DINO's code does."""

WITH_OFFSET: AbstractSet[str] = frozenset({"value", "sclip", "clearclip", "naclip"})
"""Dense variants whose code resizes the table this way."""


def position_rule(side: int, own: int, dense: str) -> str:
    """How a variant brings position embeddings from one grid to another; alike for those that do it alike.

    Example:
        >>> position_rule(16, 16, "sclip"), position_rule(28, 16, "sclip"), position_rule(28, 16, "maskclip")
        ('as they are', 'by a factor', 'to the side')
    """
    if side == own:
        return "as they are"
    return "by a factor" if dense in WITH_OFFSET else "to the side"


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
