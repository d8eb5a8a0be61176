"""Which layers of a network are read, and how their outputs (tokens or pyramids) become one grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange
from torch import nn

from fmbseg.models.loading.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class NoSpatialFeaturesError(ValueError):
    """A model that gives one vector per image, or nothing laid out as a grid."""


def chosen_layers(
    wanted: tuple[int, ...] | None, depth: int, default: tuple[int, ...], where: str
) -> tuple[int, ...]:
    """Layers counted from 0, in order.

    Args:
        wanted: as in a spec, negative ones counted from the end; ``None`` for the default.
        depth: how many there are.
        default: the model's default layers.
        where: what to call it in messages.

    Raises:
        SpecError: there is no such layer, or one is named twice.

    Example:
        >>> chosen_layers((-1, 5), 12, (11,), "timm:vit"), chosen_layers(None, 12, (11,), "timm:vit")
        ((5, 11), (11,))
    """
    if wanted is None:
        return default
    for layer in wanted:
        if not -depth <= layer < depth:
            raise SpecError(f"{where} has no layer {layer}: they are 0 to {depth - 1}, or -{depth} to -1")
    layers = tuple(sorted({layer % depth for layer in wanted}))
    if len(layers) < len(wanted):
        raise SpecError(f"{where} names a layer twice: {', '.join(map(str, wanted))}")
    return layers


def default_stages(strides: Sequence[int]) -> tuple[int, ...]:
    """The last stage of each of the two coarsest strides: together they carry more than either alone.

    Args:
        strides: strides of a pyramid's stages in pixels.

    Example:
        >>> default_stages([4, 8, 16, 32]), default_stages([8, 8, 16, 16])
        ((2, 3), (1, 3))
    """
    last = {stride: stage for stage, stride in enumerate(strides)}
    return tuple(sorted(last[stride] for stride in sorted(last)[-2:]))


def tokens_to_grid(tokens: torch.Tensor, grid: tuple[int, int], prefix: int) -> torch.Tensor:
    """Drop leading tokens that are not patches, and lay out the others row by row.

    Args:
        tokens: (B, prefix + h * w, C).
        grid: rows and columns of patches.
        prefix: class and register tokens.

    Returns:
        (B, C, h, w).

    Raises:
        NoSpatialFeaturesError: the number of tokens is another.

    Example:
        >>> tokens_to_grid(torch.arange(7.0).reshape(1, 7, 1), (2, 3), prefix=1)[0, 0]
        tensor([[1., 2., 3.],
                [4., 5., 6.]])
    """
    height, width = grid
    if tokens.ndim != 3 or tokens.shape[1] != prefix + height * width:
        raise NoSpatialFeaturesError(
            f"the model gives {tuple(tokens.shape)}, not (B, {prefix} + {height} x {width} patches, C)"
        )
    return rearrange(tokens[:, prefix:], "b (h w) c -> b c h w", h=height, w=width)


def join_maps(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join maps of one image on the grid of the first and finest; coarser ones are up-sampled bilinearly.

    A coarser map may reach beyond the finest by less than one of its cells (networks pad odd sides): the
    excess is cut off at the right and bottom, so that cells stay where their pixels are.

    Args:
        maps: (B, C, h, w) each; each side of the first is, rounded up, a multiple of every other's.

    Returns:
        (B, sum of C, h, w), h and w as in the first.

    Example:
        >>> fine, coarse = torch.zeros(1, 2, 3, 4), torch.ones(1, 1, 2, 2)
        >>> join_maps([fine, coarse]).shape
        torch.Size([1, 3, 3, 4])
    """
    height, width = maps[0].shape[-2:]
    joined = []
    for coarse in maps:
        factor = (-(-height // coarse.shape[-2]), -(-width // coarse.shape[-1]))
        if factor != (1, 1):
            size = (coarse.shape[-2] * factor[0], coarse.shape[-1] * factor[1])
            coarse = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
        joined.append(coarse[..., :height, :width])
    return joined[0] if len(joined) == 1 else torch.cat(joined, dim=1)


def resized_to(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Resize maps (B, C, h, w) bilinearly to another grid; untouched if it is their own."""
    if tuple(maps.shape[-2:]) == grid:
        return maps
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False)


class Pyramid(nn.Module):
    """Stages of a convolutional or hierarchical network, joined on the grid of the finest of them.

    Sides that cannot be halved down to the coarsest stage are padded with zeros (the mean colour) at the
    right and bottom first, and the cells that come from the padding are cut off.

    Args:
        network: the network that ``stages`` calls.
        stages: turns pixels, whose sides are multiples of ``multiple``, into maps, the finest first.
        strides: strides of these maps. A map of another size (from convolutions that do not pad) is
            resized to match.
        multiple: number of pixels that every stage can divide.
        minimum: smallest side in pixels.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: Callable[[torch.Tensor], Sequence[torch.Tensor]],
        *,
        strides: Sequence[int],
        multiple: int,
        minimum: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self._stages = stages
        self._strides = tuple(strides)
        self._multiple = multiple
        self._minimum = minimum

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, sum of C, H/stride, W/stride)."""
        height, width = pixels.shape[-2:]
        padded = [-(-max(side, self._minimum) // self._multiple) * self._multiple for side in (height, width)]
        if padded != [height, width]:
            pixels = F.pad(pixels, (0, padded[1] - width, 0, padded[0] - height))
        maps = [
            resized_to(one, (padded[0] // stride, padded[1] // stride))
            for one, stride in zip(self._stages(pixels), self._strides, strict=True)
        ]
        finest = self._strides[0]
        return join_maps(maps)[..., : height // finest, : width // finest]


class OneSize(nn.Module):
    """A network with one fixed image size: images are resized to it, and its grid is resized back.

    Args:
        network: turns (B, 3, size, size) into (B, C, size/stride, size/stride).
        size: its image side in pixels.
        stride: its stride in pixels.
    """

    def __init__(self, network: nn.Module, size: int, stride: int) -> None:
        super().__init__()
        self.network = network
        self._size = size
        self._stride = stride

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, C, H/stride, W/stride)."""
        sides = tuple(pixels.shape[-2:])
        if sides != (self._size, self._size):
            # In float32: on a CPU, torch cannot resize half precision with antialiasing.
            resized = F.interpolate(pixels.float(), (self._size,) * 2, mode="bilinear", antialias=True)
            pixels = resized.to(pixels.dtype)
        grid: torch.Tensor = self.network(pixels)
        return resized_to(grid, (sides[0] // self._stride, sides[1] // self._stride))
