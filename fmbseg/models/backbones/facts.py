"""What a backbone's spec resolved to: the network that computes its grid, and what is known about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

    from fmbseg.models.transform import PixelTransform


@dataclass(frozen=True)
class BackboneFacts:
    """Everything that is known about a loaded backbone.

    Args:
        spec: recreates it, with every choice spelt out.
        dim: channels of a patch feature.
        stride: pixels between patch centres.
        native_size: side in pixels of the images that it is meant for, a multiple of ``stride``.
        transform: turns images into pixels.
        layers: blocks or stages whose outputs are joined, counted from 0.
        depth: number of blocks or stages in the model.
        final_norm: whether the final norm (SAM: the neck) is applied to each of them.
        class_tokens: tokens dropped because they stand for the whole image.
        register_tokens: tokens dropped because they stand for nothing in the image.
        any_size: whether it takes any multiple of the stride; if not, images are resized to ``native_size``
            and the grid is resized back.
        parameters: number in the network, after unneeded parts were cut off.
        precision: that of weights and computation: ``fp32``, ``fp16`` or ``bf16``.
        license: licence of the weights (SPDX where there is one).
        source: where the weights come from: a Hub repository, a file, or how they were made.
        revision: the repository's commit, if the weights are from the Hub and on this machine.
    """

    spec: str
    dim: int
    stride: int
    native_size: int
    transform: PixelTransform
    layers: tuple[int, ...]
    depth: int
    final_norm: bool
    class_tokens: int
    register_tokens: int
    any_size: bool
    parameters: int
    precision: str
    license: str
    source: str
    revision: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


class GridNetwork(NamedTuple):
    """A network that computes a grid, and what its builder knows about it.

    Attributes:
        network: pixels (B, 3, H, W) to (B, dim, H/stride, W/stride).
        native_size: see :class:`BackboneFacts`, where it is rounded down to a multiple of ``stride``.
        parameters: number counted before some became tables; if ``None``, those of ``network`` are counted.
        pyramid: whether it is convolutional or hierarchical.
        others: see the same names in :class:`BackboneFacts`.
    """

    network: nn.Module
    dim: int
    stride: int
    native_size: int
    layers: tuple[int, ...] = ()
    depth: int = 0
    final_norm: bool = False
    class_tokens: int = 0
    register_tokens: int = 0
    any_size: bool = True
    parameters: int | None = None
    pyramid: bool = False


class Origin(NamedTuple):
    """Where a backbone's weights come from.

    Attributes:
        name: the model's name in a spec, with what was left open spelt out.
        source: Hub repository, folder or file, or how they were made.
        license: licence of the weights.
        commit: the repository's commit, if its files are on this machine.
    """

    name: str
    source: str
    license: str
    commit: str | None = None


def facts_of(
    grid: GridNetwork, *, spec: str, transform: PixelTransform, origin: Origin, precision: str = "fp32"
) -> BackboneFacts:
    """Put together what is known about a backbone.

    Args:
        grid: its network and what the builder knows.
        spec: recreates it.
        transform: turns images into pixels.
        origin: where its weights come from.
        precision: that of weights and computation.
    """
    counted = sum(parameter.numel() for parameter in grid.network.parameters())
    return BackboneFacts(
        spec=spec,
        dim=grid.dim,
        stride=grid.stride,
        native_size=max(1, grid.native_size // grid.stride) * grid.stride,
        transform=transform,
        layers=grid.layers,
        depth=grid.depth,
        final_norm=grid.final_norm,
        class_tokens=grid.class_tokens,
        register_tokens=grid.register_tokens,
        any_size=grid.any_size,
        parameters=counted if grid.parameters is None else grid.parameters,
        precision=precision,
        license=origin.license,
        source=origin.source,
        revision=origin.commit,
    )
