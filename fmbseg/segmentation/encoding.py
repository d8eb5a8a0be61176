"""Text-space maps of images of any size: windows of several images are encoded together, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from fmbseg.segmentation.reduction import EncodedImage
from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    """An image cut into windows, and the windows' maps as far as they are made."""

    image: NDArray[np.uint8]
    pixels: torch.Tensor
    plan: WindowPlan
    mirror: bool
    maps: list[torch.Tensor] = field(default_factory=list)

    def windows(self) -> list[torch.Tensor]:
        views = self.plan.cut(self.pixels)
        return views + self.plan.cut(self.pixels.flip(-1)) if self.mirror else views

    def whole(self) -> torch.Tensor:
        count = len(self.plan.origins)
        text_map = self.plan.stitch(self.maps[:count])
        if not self.mirror:
            return text_map
        return (text_map + self.plan.stitch(self.maps[count:]).flip(-1)) / 2


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
    by_shape: dict[torch.Size, list[tuple[_Cut, int, torch.Tensor]]] = {}
    for cut in waiting:
        views = cut.windows()
        cut.maps.extend(views)  # places, each to be taken by its map
        for position, view in enumerate(views):
            by_shape.setdefault(view.shape, []).append((cut, position, view))
    with torch.inference_mode():  # not around the yield: the caller's own mode is none of our business
        for alike in by_shape.values():
            for start in range(0, len(alike), batch_size):
                batch = alike[start : start + batch_size]
                maps = encoder.encode(torch.stack([view for _, _, view in batch]))
                for (cut, position, _), text_map in zip(batch, maps, strict=True):
                    cut.maps[position] = text_map
        encoded = [EncodedImage(cut.image, cut.pixels, cut.whole()) for cut in waiting]
    yield from encoded
