"""TensorFlow's SAME padding in a form that exporters can follow when the image's size is left open.

timm works out the padding from the size at each call, with divisions that an exporter keeps as symbols and
then reasons about for many minutes. For stride 2 all that matters is whether a side is even.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import nn

if TYPE_CHECKING:
    import torch


_IMAGE_CHANNELS = 3


class HalvingConv(nn.Module):
    """A convolution of stride 2 with SAME padding; gives the same numbers as timm's ``Conv2dSame``.

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
