"""Text-space maps of images of any size: windows of several images are encoded together, in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

import torch

from fmbseg.models.batching import encode_all
from fmbseg.segmentation.reduction import EncodedImage
from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.deployment import WindowSettings
    from fmbseg.models.transform import PixelTransform
    from fmbseg.vocabulary import Vocabulary


class TextSpaceEncoder(Protocol):
    """Images and words in one space, as :class:`~fmbseg.AlignedEncoder` brings them there."""

    @property
    def transform(self) -> PixelTransform:
        """Turns an RGB image into the pixels that :meth:`encode` takes."""
        ...

    @property
    def stride(self) -> int:
        """Pixels between the cells of the map."""
        ...

    @property
    def device(self) -> torch.device:
        """Where results are."""
        ...

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels (B, 3, H, W), H and W multiples of ``stride``, to unit vectors (B, D, h, w)."""
        ...

    def encode_text(self, vocabulary: Vocabulary) -> torch.Tensor:
        """Encode K classes to unit vectors (K, D)."""
        ...

    def describe(self) -> dict[str, Any]:
        """Say what it is made of, as JSON values; equal only for equal weights."""
        ...


@dataclass(frozen=True, eq=False)
class _Cut:
    """An image cut into windows."""

    image: NDArray[np.uint8]
    pixels: torch.Tensor
    plan: WindowPlan
    mirror: bool

    def windows(self) -> list[torch.Tensor]:
        views = self.plan.cut(self.pixels)
        return views + self.plan.cut(self.pixels.flip(-1)) if self.mirror else views

    def whole(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join the maps of the windows, in their order."""
        count = len(self.plan.origins)
        text_map = self.plan.stitch(maps[:count])
        if not self.mirror:
            return text_map
        return (text_map + self.plan.stitch(maps[count:]).flip(-1)) / 2


def encode_images(
    encoder: TextSpaceEncoder,
    images: Iterable[NDArray[np.uint8]],
    windows: WindowSettings,
    *,
    mirror: bool,
    batch_size: int,
) -> Iterator[EncodedImage]:
    """Encode images, as many windows at once as ``batch_size`` allows; results come in order.

    A window's map is the mean of unit vectors where windows overlap, so that its dot product with a text is
    the mean of the windows' similarities (the sum divided by the count, as TCL's protocol has it).

    Args:
        encoder: pixels to the text space.
        images: RGB, uint8, (H, W, 3) each; taken as they are needed.
        windows: how an image is resized and cut.
        mirror: average with the mirrored image.
        batch_size: windows.
    """
    waiting: list[_Cut] = []
    count = 0
    for image in images:
        cut = _cut(encoder, image, windows, mirror=mirror)
        waiting.append(cut)
        count += len(cut.plan.origins)
        if count >= batch_size:
            yield from _encoded(encoder, waiting, batch_size)
            waiting, count = [], 0
    yield from _encoded(encoder, waiting, batch_size)


def _cut(
    encoder: TextSpaceEncoder, image: NDArray[np.uint8], windows: WindowSettings, *, mirror: bool
) -> _Cut:
    height, width = image.shape[:2]
    plan = WindowPlan.cover(
        (height, width),
        short_side=windows.short_side,
        window=windows.window,
        step=windows.step,
        stride=encoder.stride,
    )
    return _Cut(image, encoder.transform(image, plan.image_size), plan, mirror)


def _encoded(encoder: TextSpaceEncoder, waiting: list[_Cut], batch_size: int) -> Iterator[EncodedImage]:
    windows = [cut.windows() for cut in waiting]
    with torch.inference_mode():  # not around the yield: the caller's own mode is none of our business
        maps = iter(encode_all(encoder, list(chain.from_iterable(windows)), batch_size=batch_size))
        encoded = [
            EncodedImage(cut.image, cut.pixels, cut.whole(list(islice(maps, len(views)))))
            for cut, views in zip(waiting, windows, strict=True)
        ]
    yield from encoded
