"""The network that reads a grid from a model of timm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from fmbseg.models.backbones.facts import GridNetwork
from fmbseg.models.backbones.grids import OneSize, Pyramid
from fmbseg.models.backbones.positions import PositionTable
from fmbseg.models.backbones.timm_plan import intermediates

if TYPE_CHECKING:
    from fmbseg.models.backbones.timm_plan import TimmPlan


def pruned(model: nn.Module, plan: TimmPlan) -> nn.Module:
    """The model in evaluation mode, without what comes after the last layer that is read."""
    model.prune_intermediate_layers(list(plan.layers), prune_norm=not plan.norm)  # type: ignore[operator]
    return model.eval()


def network_of(model: nn.Module, plan: TimmPlan) -> GridNetwork:
    """The network that reads a model's grid, and what is known about it.

    Args:
        model: model of timm, after :func:`pruned`.
        plan: how it is built and read.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    network: nn.Module
    if plan.columnar:
        network = _Tokens(model, plan)
    else:
        network = Pyramid(
            model,
            lambda pixels: intermediates(model, pixels, plan.layers, norm=plan.norm),
            strides=plan.strides,
            multiple=plan.multiple,
            minimum=plan.minimum,
        )
    return GridNetwork(
        network if plan.any_size else OneSize(network, plan.native_size, plan.stride),
        plan.dim,
        plan.stride,
        plan.native_size,
        plan.layers,
        plan.depth,
        plan.norm,
        class_tokens=plan.prefix - plan.registers,
        register_tokens=plan.registers,
        any_size=plan.any_size,
        parameters=parameters,
        pyramid=not plan.columnar,
    )


class _Tokens(nn.Module):
    """Patch tokens of some blocks of a timm transformer, joined, as a grid."""

    def __init__(self, model: nn.Module, plan: TimmPlan) -> None:
        super().__init__()
        self.model = model
        self._plan = plan
        self.positions: PositionTable | None = None
        if plan.positions is not None:
            prefix = 0 if model.no_embed_class else plan.prefix
            self.positions = PositionTable(model.pos_embed, prefix, plan.positions)  # type: ignore[arg-type]
            del model.pos_embed  # from here on it is set for each grid
            model.patch_embed.strict_img_size = False  # type: ignore[union-attr]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.positions is not None:
            stride = self._plan.stride
            self.model.pos_embed = self.positions((pixels.shape[-2] // stride, pixels.shape[-1] // stride))
        maps = intermediates(self.model, pixels, self._plan.layers, norm=self._plan.norm)
        return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)
