"""What prompts of an image share in SAM's decoder, and the places of each as a mixture of a few rows.

See :mod:`fmbseg.models.mask_generators.lean_decoder`, which says why the places are never formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A cache holds only a few rows that lie a multiple of 4,096 bytes apart, and there are 4,096 places.
_PLACES_AT_ONCE_ON_CPU = 8320  # times prompts
_BETWEEN_ROWS = 16  # numbers


class Projection(NamedTuple):
    """A linear map of the places of B images, for each head.

    Attributes:
        image: that of the image, (B, heads, D, places).
        constant: that of positions and bias, (1, heads, D, places), or of the bias alone, (1, heads, D, 1).
        weight: the map's matrix, (heads D, C).
    """

    image: torch.Tensor
    constant: torch.Tensor
    weight: torch.Tensor


class SharedLayer(NamedTuple):
    """What all prompts of an image share in one layer, for B images.

    Attributes:
        keys: keys that tokens attend to.
        values: values that they get.
        queries: queries by which the places attend to tokens.
        image: the image, centred, over the number of channels, (B, C, places).
        square: the mean of its squares, (B, 1, places).
        products: its products with what the heads of this layer and of those before make of a value, each
            (B, heads, D, places).
    """

    keys: Projection
    values: Projection
    queries: Projection
    image: torch.Tensor
    square: torch.Tensor
    products: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class EncodedFrame:
    """B images, and what all prompts of each share.

    Attributes:
        embedding: the image encoder's output, (B, C, h, w).
        layers: what is shared in each layer of the two-way transformer.
        keys: keys of its last attention.
        values: values of its last attention.
        pixels: what the first up-scaling makes of the image, each pixel less its mean, (B, h w, 4 D).
    """

    embedding: torch.Tensor
    layers: tuple[SharedLayer, ...]
    keys: Projection
    values: Projection
    pixels: torch.Tensor


class Room:
    """Memory for the mixtures of places, used again by the next prompts, which spares asking for it anew."""

    def __init__(self) -> None:
        self._memory: torch.Tensor | None = None

    def of(self, like: torch.Tensor, *shape: int) -> torch.Tensor:
        """Memory of a shape, of the kind and on the device of a tensor; what it held before is lost."""
        size = math.prod(shape)
        if self._memory is None or len(self._memory) < size:
            self._memory = like.new_empty(size)
        return self._memory[:size].view(shape)


@dataclass
class Places:
    """The places of N prompts, ``scale * image + mix^T rows``, for a mixture of R rows.

    Attributes:
        scale: (N, 1, places).
        mix: (N, R or more, places); beyond R there is room for layers to come. The last of the R is 1.
        rows: (N, R, C).
        told: what each layer so far told the places: values of the heads, (N, T - 1, heads D), less those of
            the first token.
    """

    scale: torch.Tensor
    mix: torch.Tensor
    rows: torch.Tensor
    told: list[torch.Tensor]

    @classmethod
    def untold(cls, image: EncodedFrame, transformer: Any, tokens: torch.Tensor, room: Room) -> Places:
        """The image's places, with room for what these tokens (N, T, C) are going to tell."""
        count, size = len(tokens), image.pixels.shape[1]
        heads = [layer.cross_attn_image_to_token.num_heads for layer in transformer.layers]
        rows = 1 + sum(1 + each * (tokens.shape[1] - 1) for each in heads)
        mix = room.of(tokens, count, rows, size + _BETWEEN_ROWS)[:, :, :size]
        mix[:, 0] = 1
        return cls(tokens.new_ones(count, 1, size), mix, tokens.new_zeros(count, 1, tokens.shape[2]), [])

    def mixed(self, part: slice) -> torch.Tensor:
        """The mixture of some places, (N, R, places)."""
        return self.mix[:, : self.rows.shape[1], part]

    def parts(self) -> Iterator[slice]:
        """All places, as many at a time as is good for their device."""
        count, _, size = self.mix.shape
        step = max(1, _PLACES_AT_ONCE_ON_CPU // max(1, count)) if self.mix.device.type == "cpu" else size
        return (slice(start, min(start + step, size)) for start in range(0, size, step))

    def select(self, wanted: torch.Tensor) -> Places:
        """Those of some prompts."""
        told = [each[wanted] for each in self.told]
        return Places(self.scale[wanted], self.mix[wanted], self.rows[wanted], told)


def together(frames: Sequence[EncodedFrame]) -> EncodedFrame:
    """Several images as one."""
    if len(frames) == 1:
        return frames[0]
    layers = [
        SharedLayer(
            _joined([one.keys for one in same]),
            _joined([one.values for one in same]),
            _joined([one.queries for one in same]),
            torch.cat([one.image for one in same]),
            torch.cat([one.square for one in same]),
            tuple(torch.cat(each) for each in zip(*(one.products for one in same), strict=True)),
        )
        for same in zip(*(frame.layers for frame in frames), strict=True)
    ]
    return EncodedFrame(
        torch.cat([frame.embedding for frame in frames]),
        tuple(layers),
        _joined([frame.keys for frame in frames]),
        _joined([frame.values for frame in frames]),
        torch.cat([frame.pixels for frame in frames]),
    )


def _joined(projections: Sequence[Projection]) -> Projection:
    first = projections[0]
    return Projection(torch.cat([one.image for one in projections]), first.constant, first.weight)


def of_each(of_image: torch.Tensor, count: int) -> torch.Tensor:
    """What B images have, for ``count`` prompts, as many of each image."""
    return of_image if len(of_image) == 1 else of_image.repeat_interleave(count // len(of_image), dim=0)
