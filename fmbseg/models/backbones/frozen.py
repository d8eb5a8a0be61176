"""FrozenBackbone: any network that computes grids, behind the contract of a backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from fmbseg.models.backbones.facts import facts_of
from fmbseg.models.backbones.request import NO_WEIGHTS, PRETRAINED, RANDOM
from fmbseg.models.checks import check_pixels
from fmbseg.models.loading.precision import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from fmbseg.models.backbones.facts import BackboneFacts, GridNetwork, Origin
    from fmbseg.models.backbones.request import BackboneRequest
    from fmbseg.models.transform import PixelTransform


class ExportForm:
    """A backbone's bare network, which exporters can follow: no inference mode, no copies, no checks.

    Args:
        network: turns pixels (B, 3, H, W) into a grid (B, dim, H/stride, W/stride).
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels to a grid of features."""
        grid: torch.Tensor = self.network(pixels)
        return grid.float()


class FrozenBackbone:
    """A network in evaluation mode without gradients; it computes under ``torch.inference_mode``.

    Args:
        network: turns pixels (B, 3, H, W) into a grid (B, dim, H/stride, W/stride); frozen in place.
        facts: what is known about it.
        channels_last: lay out pixels and weights with the channels last, which makes convolutions faster.
        compiled: whether to run through ``torch.compile``.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> backbone = BACKBONES.create("timm:test_vit?weights=random")
        >>> backbone.dim, backbone.stride, backbone.encode(torch.zeros(1, 3, 64, 48)).shape
        (64, 16, torch.Size([1, 64, 4, 3]))
    """

    def __init__(
        self,
        network: nn.Module,
        facts: BackboneFacts,
        *,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        self.facts = facts
        self.spec: str = facts.spec
        self.dim: int = facts.dim
        self.stride: int = facts.stride
        self.native_size: int = facts.native_size
        self.license: str = facts.license
        self.transform: PixelTransform = facts.transform
        self._dtype = DTYPES[facts.precision]
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.eval().requires_grad_(False)
        self.network.to(self._dtype).to(memory_format=self._layout)
        self._device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
        run = torch.compile(network) if compiled else network
        self._run = cast("Callable[[torch.Tensor], torch.Tensor]", run)

    def to(self, device: torch.device | str) -> FrozenBackbone:
        """Move the weights to ``device`` and return self."""
        self.network.to(device)
        self._device = torch.device(device)
        return self

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels to a grid of features.

        Args:
            pixels: (B, 3, H, W) as ``transform`` makes them, H and W multiples of ``stride``.

        Returns:
            (B, dim, H/stride, W/stride), float32, without gradient; a head can be trained on it.

        Raises:
            ValueError: another shape or type.
        """
        check_pixels(pixels, self.stride, self.spec)
        with torch.inference_mode():
            grid = self._run(pixels.to(self._device, self._dtype, memory_format=self._layout))
        # A copy made outside of inference mode is an ordinary tensor, which autograd may save.
        return grid.to(torch.float32, copy=True, memory_format=torch.contiguous_format)

    def for_export(self) -> ExportForm:
        """The network that exporters take instead; the weights are shared."""
        return ExportForm(self.network)


def frozen(
    grid: GridNetwork, request: BackboneRequest, transform: PixelTransform, origin: Origin
) -> FrozenBackbone:
    """Turn a network into the backbone that was asked for.

    Args:
        grid: the network; frozen in place.
        request: what was asked for.
        transform: turns images into pixels.
        origin: where the weights that ``pretrained`` stands for come from.
    """
    if request.weights == RANDOM:
        origin = origin._replace(source="random weights", commit=None)
    elif request.weights not in (PRETRAINED, NO_WEIGHTS):
        origin = origin._replace(source=request.weights)
    facts = facts_of(
        grid if request.size is None else grid._replace(native_size=request.size),
        spec=request.resolved(origin.name, origin.commit).spec,
        transform=transform,
        origin=origin,
        precision=request.precision,
    )
    return FrozenBackbone(grid.network, facts, channels_last=grid.pyramid, compiled=request.compiled)
