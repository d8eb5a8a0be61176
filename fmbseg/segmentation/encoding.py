"""Text-space maps of images of any size: windows of several images are encoded together, in order."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.ahead import ordered_map, readers
from fmbseg.images import ImageError, load_image
from fmbseg.models.batching import Batches, encode_stream
from fmbseg.segmentation.reduction import EncodedImage
from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.aligned.prototypes import Prototypes
    from fmbseg.certainty import HeadCertainty
    from fmbseg.images import ImageInput
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
    images: Iterable[ImageInput],
    windows: WindowSettings,
    *,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
    batch_size: int,
) -> Iterator[EncodedImage]:
    """Encode images, as many windows at once as ``batch_size`` allows; results come in order.

    Args:
        encoder: pixels to the text space.
        images: taken no sooner than they are needed.
        windows: how an image is resized and cut.
        scales: times the windows' short side, the sizes whose maps are averaged.
        mirror: average with the mirrored image.
        batch_size: windows.

    Raises:
        ImageError: an image that cannot be read.
    """
    cutter = Cutter(encoder, windows, tuple(scales), mirror=mirror)
    for encoded in cutter.encode(images, batch_size):
        if isinstance(encoded, ImageError):
            raise encoded
        yield encoded


@dataclass(frozen=True)
class Cutter:
    """Resizes images and cuts them into windows, on any thread, and encodes these.

    Args:
        encoder: whose pixels are made.
        windows: how an image is resized and cut.
        scales: times the windows' short side, the sizes whose maps are averaged.
        mirror: average with the mirrored image.
    """

    encoder: TextSpaceEncoder
    windows: WindowSettings
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False

    def encode(self, images: Iterable[ImageInput], batch_size: int) -> Iterator[EncodedImage | ImageError]:
        """Encode images no sooner than they are asked for, but for those that share a batch.

        Args:
            images: in whose order results come; an image that cannot be read gives its error.
            batch_size: windows.
        """
        batches = Batches(self.encoder, batch_size, self.encoder.device)
        yield from _encoded(batches, map(self._read, images), most_waiting=batch_size)

    def encode_ahead(
        self, images: Iterable[ImageInput], batch_size: int
    ) -> Iterator[EncodedImage | ImageError]:
        """Encode images while threads read and cut the next ones; else like :meth:`encode`."""
        batches = Batches(self.encoder, batch_size, self.encoder.device)
        workers = readers(self.encoder.device)
        in_hand = max(workers, batch_size)
        with closing(ordered_map(self._read, images, workers=workers, in_hand=in_hand)) as found:
            yield from _encoded(batches, (cut for _, cut in found))

    def _read(self, image: ImageInput) -> _Cut | ImageError:
        try:
            pixels = load_image(image)
        except ImageError as error:
            return error
        sides = [round(self.windows.short_side * scale) for scale in sorted(self.scales, reverse=True)]
        return _Cut(pixels, [view for side in sides for view in self._views(pixels, side)])

    def _views(self, image: NDArray[np.uint8], side: int) -> list[_View]:
        plan = WindowPlan.cover(
            (image.shape[0], image.shape[1]),
            short_side=side,
            window=self.windows.window,
            step=self.windows.step,
            stride=self.encoder.stride,
        )
        pixels = self.encoder.transform(image, plan.image_size)
        return [_View(pixels, plan, mirrored) for mirrored in ((False, True) if self.mirror else (False,))]


def _encoded(
    batches: Batches, cuts: Iterable[_Cut | ImageError], *, most_waiting: int | None = None
) -> Iterator[EncodedImage | ImageError]:
    """Encode images that are cut already, windows of equal size of several images together, in order.

    A window's map is the mean of unit vectors where windows overlap, so that its dot product with a text is
    the mean of the windows' similarities (the sum divided by the count, as TCL's protocol has it).

    Args:
        batches: encode windows.
        cuts: taken as they are needed; an error comes out at its place.
        most_waiting: windows that wait for others of their size, at most; four batches if not given.
    """
    items = ((one, one.windows() if isinstance(one, _Cut) else ()) for one in cuts)
    for one, maps in encode_stream(batches, items, most_waiting=most_waiting):
        if isinstance(one, _Cut):
            with torch.inference_mode():  # not around the yield: it would hold for the caller too
                encoded = one.encoded(iter(maps))
            yield encoded
        else:
            yield one


class SecondView:
    """What an image-text model sees of encoded images by itself.

    It sees half-overlapping crops of its own size, as in Stage 1 (paper §3.2); where they overlap, a cell is
    the mean of their unit vectors.

    Args:
        text_encoder: the image-text model.
        short_side: to which images are resized, in pixels.
        batch_size: crops encoded at once; fewer from then on where the device's memory is short.
    """

    def __init__(self, text_encoder: ImageTextEncoder, *, short_side: int, batch_size: int) -> None:
        self._encoder, self._short_side = text_encoder, short_side
        self._batches = Batches(_Dense(text_encoder), batch_size)

    def of(self, encoded: EncodedImage) -> torch.Tensor:
        """See an image: (D, h, w), on the grid of its map."""
        encoder = self._encoder
        plan = WindowPlan.crops(
            encoded.size, short_side=self._short_side, crop=encoder.crop_size, stride=encoder.stride
        )
        pixels = encoder.transform(encoded.image, plan.image_size).to(encoded.text_map.device)
        return _on_grid_of(encoded.text_map, plan.stitch(self._batches.encode(plan.cut(pixels))))


@dataclass(frozen=True, eq=False)
class _Dense:
    """The cells of an image-text model as an encoder of patches."""

    text_encoder: ImageTextEncoder

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.text_encoder.encode_image(pixels).dense


def _on_grid_of(wanted: torch.Tensor, text_map: torch.Tensor) -> torch.Tensor:
    if text_map.shape == wanted.shape:
        return text_map
    return F.interpolate(text_map[None], wanted.shape[1:], mode="bilinear", align_corners=False)[0]
