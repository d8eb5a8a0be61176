"""Networks about which we know only that they take pixels: what they return is found out by trying."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from fmbseg.models.backbones.facts import GridNetwork
from fmbseg.models.backbones.grids import NoSpatialFeaturesError, OneSize, tokens_to_grid
from fmbseg.models.loading.errors import WeightsError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[torch.Tensor], object]


_BATCHES = (1, 2, 4, 8, 16)  # batch sizes that are tried
_ENOUGH = 2  # a network that takes this many of them is believed to take any


@torch.inference_mode()
def probe(module: nn.Module, size: int, prefix: int, where: str) -> GridNetwork:
    """Find out what a module returns for images of ``size`` x ``size`` pixels, and make it a network.

    Args:
        module: turns pixels (B, 3, H, W) into maps (B, C, h, w), tokens (B, prefix + h * w, C) or a tuple
            that begins with either.
        size: side in pixels of the images that it is meant for.
        prefix: number of leading tokens that are not patches.
        where: what to call it in messages.

    Raises:
        NoSpatialFeaturesError: it returns anything else.
        WeightsError: its output is not finite.
        ValueError: it does not run at this size.
    """
    given, batch = _tried(module, size, where)
    side = _side(given, prefix, where)
    if not bool(torch.isfinite(given).all()):
        raise WeightsError(f"{where} gives values that are not finite: its weights hold NaN, or are damaged")
    if size % side:
        raise NoSpatialFeaturesError(
            f"{where} gives a grid of {side} x {side} for {size} px, no whole stride: is `prefix` right?"
        )
    stride = size // side
    grid = GridOf(module, stride, prefix, batch)
    dim = int(given.shape[1] if given.ndim == 4 else given.shape[2])
    any_size = _takes(grid, size + stride, size, dim)
    network = grid if any_size else OneSize(grid, size, stride)
    return GridNetwork(network, dim, stride, size, class_tokens=prefix, any_size=any_size)


class GridOf(nn.Module):
    """The grid of a module that returns maps or tokens.

    Args:
        module: see :func:`probe`.
        stride: stride of its grid in pixels.
        prefix: number of leading tokens that are not patches.
        batch: number of images that it takes at a time; ``None`` for any number.
    """

    def __init__(self, module: nn.Module, stride: int, prefix: int, batch: int | None) -> None:
        super().__init__()
        self.module = module
        self._stride = stride
        self._prefix = prefix
        self._batch = batch

    def train(self, mode: bool = True) -> GridOf:
        """Set the mode here alone: an exported program has no modes and raises if told to change."""
        self.training = mode
        return self

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, C, H/stride, W/stride)."""
        given = _first(self.module(pixels)) if self._batch is None else self._in_batches(pixels, self._batch)
        if given.ndim == 4:
            return given
        grid = (pixels.shape[-2] // self._stride, pixels.shape[-1] // self._stride)
        return tokens_to_grid(given, grid, self._prefix)

    def _in_batches(self, pixels: torch.Tensor, batch: int) -> torch.Tensor:
        """Images in batches of equal size, the last filled up with its last image."""
        filled = torch.cat([pixels, pixels[-1:].expand(-len(pixels) % batch, -1, -1, -1)])
        return torch.cat([_first(self.module(part)) for part in torch.split(filled, batch)])[: len(pixels)]


def _tried(module: nn.Module, size: int, where: str) -> tuple[torch.Tensor, int | None]:
    """What a module returns for noise, and the only batch size that it takes; ``None`` for any."""
    noise = torch.randn(max(_BATCHES), 3, size, size, generator=torch.Generator().manual_seed(0))
    given: dict[int, torch.Tensor] = {}
    problems = []
    for batch in _BATCHES:
        try:
            given[batch] = _first(module(noise[:batch]))
        except NoSpatialFeaturesError:
            raise
        except (
            Exception  # noqa: BLE001 - foreign networks raise what they like
        ) as error:  # other batch sizes are tried before giving up
            problems.append(error)
        if len(given) == _ENOUGH:
            return given[batch], None
    if not given:
        raise ValueError(
            f"{where} does not take images of {size} x {size} px ({first_line(problems[0])}): "
            "name the size it was made for by `size`"
        ) from problems[0]
    batch, tensor = given.popitem()
    return tensor, batch


def _first(given: object) -> torch.Tensor:
    value = given[0] if isinstance(given, tuple | list) and given else given
    if not isinstance(value, torch.Tensor):
        raise NoSpatialFeaturesError(f"a backbone gives a tensor; this one gave {type(value).__name__}")
    return value


def _side(given: torch.Tensor, prefix: int, where: str) -> int:
    """Cells along a side of the square grid."""
    if given.ndim == 4 and given.shape[2] == given.shape[3] and given.shape[2] > 1:
        return int(given.shape[2])
    if given.ndim == 3:
        side = math.isqrt(max(0, given.shape[1] - prefix))
        if side > 1 and side * side == given.shape[1] - prefix:
            return side
    raise NoSpatialFeaturesError(
        f"{where} gives {tuple(given.shape)} for a square image, neither a square grid (B, C, h, w) nor "
        f"(B, {prefix} + h * w, C): a model without spatial features cannot be aligned; if it has class or "
        "register tokens, say how many by `prefix`"
    )


def _takes(grid: GridOf, height: int, width: int, dim: int) -> bool:
    wanted = (2, dim, height // grid._stride, width // grid._stride)
    try:
        given = grid(torch.zeros(2, 3, height, width))
    except Exception:  # noqa: BLE001 - foreign networks raise what they like; images are resized instead
        return False
    return tuple(given.shape) == wanted
