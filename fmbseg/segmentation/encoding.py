"""Text-space maps of images of any size: windows of several images are encoded together, in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.batching import encode_all
from fmbseg.segmentation.reduction import EncodedImage
from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.aligned.prototypes import Prototypes
    from fmbseg.certainty import HeadCertainty
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.transform import PixelTransform
    from fmbseg.segment_settings import WindowSettings
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

    @property
    def hubness(self) -> float:
        """The weight that suits it (see :class:`~fmbseg.segment_settings.SegmentSettings`)."""
        ...

    @property
    def certainty(self) -> HeadCertainty | None:
        """How likely its words are right, by their scores; None if that is not known."""
        ...

    @property
    def prototypes(self) -> Prototypes | None:
        """The words that hubness is measured against, if there are any."""
        ...

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels (B, 3, H, W), H and W multiples of ``stride``, to unit vectors (B, D, h, w)."""
        ...

    def encode_text(self, vocabulary: Vocabulary) -> torch.Tensor:
        """Encode K classes to unit vectors (K, D)."""
        ...

    def describe(self) -> dict[str, Any]:
        """Describe what it is made of, as JSON values; equal only for equal weights."""
        ...


@dataclass(frozen=True, eq=False)
class _View:
    """An image at one size, as it is or mirrored, cut into windows."""

    pixels: torch.Tensor
    plan: WindowPlan
    mirrored: bool

    def windows(self) -> list[torch.Tensor]:
        return self.plan.cut(self.pixels.flip(-1) if self.mirrored else self.pixels)

    def whole(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join the maps of the windows, in their order."""
        text_map = self.plan.stitch(maps)
        return text_map.flip(-1) if self.mirrored else text_map


@dataclass(frozen=True, eq=False)
class _Cut:
    """An image and its views, the finest first."""

    image: NDArray[np.uint8]
    views: list[_View]

    def windows(self) -> list[torch.Tensor]:
        return [window for view in self.views for window in view.windows()]

    def encoded(self, maps: Iterator[torch.Tensor]) -> EncodedImage:
        """Take the maps of the windows, in their order, and average the views on the finest one's grid."""
        total: torch.Tensor | None = None
        for view in self.views:
            text_map = view.whole(list(islice(maps, len(view.plan.origins))))
            total = text_map if total is None else total + _on_grid_of(total, text_map)
        assert total is not None
        mean = total if len(self.views) == 1 else total / len(self.views)
        return EncodedImage(self.image, self.views[0].pixels, mean)


def encode_images(
    encoder: TextSpaceEncoder,
    images: Iterable[NDArray[np.uint8]],
    windows: WindowSettings,
    *,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
    batch_size: int,
) -> Iterator[EncodedImage]:
    """Encode images, as many windows at once as ``batch_size`` allows; results come in order.

    A window's map is the mean of unit vectors where windows overlap, so that its dot product with a text is
    the mean of the windows' similarities (the sum divided by the count, as TCL's protocol has it).

    Args:
        encoder: pixels to the text space.
        images: RGB, uint8, (H, W, 3) each; taken as they are needed.
        windows: how an image is resized and cut.
        scales: times the windows' short side, the sizes whose maps are averaged.
        mirror: average with the mirrored image.
        batch_size: windows.
    """
    sides = [round(windows.short_side * scale) for scale in sorted(scales, reverse=True)]
    waiting: list[_Cut] = []
    count = 0
    for image in images:
        views = [view for side in sides for view in _views(encoder, image, windows, side, mirror=mirror)]
        waiting.append(_Cut(image, views))
        count += sum(len(view.plan.origins) for view in views)
        if count >= batch_size:
            yield from _encoded(encoder, waiting, batch_size)
            waiting, count = [], 0
    yield from _encoded(encoder, waiting, batch_size)


def second_map(
    encoded: EncodedImage, text_encoder: ImageTextEncoder, *, short_side: int, batch_size: int
) -> torch.Tensor:
    """What an image-text model sees of an encoded image by itself, (D, h, w) on the grid of its map.

    It is seen in half-overlapping crops of the model's own size, as in Stage 1 (paper §3.2); where they
    overlap, a cell is the mean of their unit vectors.
    """
    plan = WindowPlan.crops(
        encoded.size, short_side=short_side, crop=text_encoder.crop_size, stride=text_encoder.stride
    )
    pixels = text_encoder.transform(encoded.image, plan.image_size).to(encoded.text_map.device)
    crops = plan.cut(pixels)
    maps = [
        dense
        for start in range(0, len(crops), batch_size)
        for dense in text_encoder.encode_image(torch.stack(crops[start : start + batch_size])).dense
    ]
    return _on_grid_of(encoded.text_map, plan.stitch(maps))


def _views(
    encoder: TextSpaceEncoder, image: NDArray[np.uint8], windows: WindowSettings, side: int, *, mirror: bool
) -> list[_View]:
    plan = WindowPlan.cover(
        (image.shape[0], image.shape[1]),
        short_side=side,
        window=windows.window,
        step=windows.step,
        stride=encoder.stride,
    )
    pixels = encoder.transform(image, plan.image_size)
    return [_View(pixels, plan, mirrored) for mirrored in ((False, True) if mirror else (False,))]


def _on_grid_of(wanted: torch.Tensor, text_map: torch.Tensor) -> torch.Tensor:
    if text_map.shape == wanted.shape:
        return text_map
    return F.interpolate(text_map[None], wanted.shape[1:], mode="bilinear", align_corners=False)[0]


def _encoded(encoder: TextSpaceEncoder, waiting: list[_Cut], batch_size: int) -> Iterator[EncodedImage]:
    windows = [window for cut in waiting for window in cut.windows()]
    with torch.inference_mode():  # not around the yield: the caller's own mode is none of our business
        maps = iter(encode_all(encoder, windows, batch_size=batch_size))
        encoded = [cut.encoded(maps) for cut in waiting]
    yield from encoded
