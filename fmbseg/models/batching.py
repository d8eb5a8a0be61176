"""Many images of mixed sizes through one encoder, in batches of images of equal size."""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from fmbseg.devices import is_out_of_memory, lack_of_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fmbseg.models.contracts import PatchEncoder

T = TypeVar("T")

ON_CPU, ON_ACCELERATOR = 1, 32
"""Photographs at once where nobody says how many; a device that lacks the memory gets fewer.

On a CPU several gain nothing. Measured once, by hand: four take 1.01 times the processor time of one after
the other with ViT-S/14 at 448 pixels, and 1.36 times with the offline recipe's encoder.
"""

_HELD = 2**28
"""Bytes of pixels that wait for others of their size, at most."""


def batch_size_for(device: torch.device) -> int:
    """How many photographs a device encodes at once where nobody says."""
    return ON_CPU if device.type == "cpu" else ON_ACCELERATOR


class Batches:
    """Encodes batches; one that does not fit the device's memory is halved, and so are those after it.

    Args:
        encoder: encodes pixels (B, 3, H, W).
        size: most images at once.
        device: where the encoder is, so that pixels are copied there while it computes.

    Attributes:
        size: most images at once, from now on.

    Raises:
        ValueError: ``size`` is not positive.
    """

    def __init__(self, encoder: PatchEncoder, size: int, device: torch.device | None = None) -> None:
        if size < 1:
            raise ValueError(f"batch_size is {size}: it must be 1 or more")
        self._encoder, self.size, self._device = encoder, size, device
        self._told = False

    def encode(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Encode images of equal size, pixels (3, H, W) each; a grid (D, h, w) for each.

        Raises:
            DeviceError: a single image does not fit the device's memory, or the device lacks an operator.
        """
        grids: list[torch.Tensor] = []
        while len(grids) < len(images):
            found = self._attempt(images[len(grids) : len(grids) + self.size])
            if found is not None:
                grids.extend(found)
        return grids

    def _attempt(self, images: Sequence[torch.Tensor]) -> torch.Tensor | None:
        """The grids of a batch; None if it was too large, and ``size`` is smaller now."""
        try:
            with torch.no_grad():
                return self._encoder.encode(_stacked(images, self._device))
        except RuntimeError as error:
            lack = lack_of_device(error)
            if lack is None:
                raise
            if len(images) == 1 or not is_out_of_memory(error):
                raise lack from error
        # Outside of the handler, which keeps what the failed attempt had allocated.
        self.size = len(images) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._told:
            self._told = True
            warnings.warn(
                f"the device has too little memory for {len(images)} images at once: from here on "
                f"{self.size}, or fewer if need be",
                stacklevel=4,
            )
        return None


def pinned(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Pixels in memory from which a CUDA device copies while others compute; for the thread that reads."""
    return pixels.pin_memory() if device.type == "cuda" else pixels


def _stacked(images: Sequence[torch.Tensor], device: torch.device | None) -> torch.Tensor:
    """A batch, on its way to the device."""
    if device is None or device.type == "cpu":
        return torch.stack(list(images))
    if device.type == "cuda" and not all(one.is_contiguous() and one.is_pinned() for one in images):
        size = (len(images), *images[0].shape)
        together = torch.empty(size, dtype=images[0].dtype, pin_memory=True)
        return torch.stack(list(images), out=together).to(device, non_blocking=True)
    return torch.stack([one.to(device, non_blocking=True) for one in images])


def encode_all(
    encoder: PatchEncoder, images: Sequence[torch.Tensor], *, batch_size: int = 8
) -> list[torch.Tensor]:
    """Encode images of any size, those of equal size together.

    Args:
        encoder: encodes batches.
        images: pixels (3, H, W) each, as the encoder's transform makes them.
        batch_size: largest number of images encoded at once.

    Returns:
        A grid (D, H/stride, W/stride) for each image, in the order of the images.

    Raises:
        ValueError: ``batch_size`` is not positive, or the encoder refuses an image.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> backbone = BACKBONES.create("timm:test_vit?weights=random")
        >>> sizes = [(32, 48), (64, 32), (32, 48)]
        >>> [tuple(grid.shape) for grid in encode_all(backbone, [torch.zeros(3, *size) for size in sizes])]
        [(64, 2, 3), (64, 4, 2), (64, 2, 3)]
    """
    items = ((None, [image]) for image in images)
    batches = Batches(encoder, batch_size)
    return [grid for _, (grid,) in encode_stream(batches, items, most_waiting=len(images) or 1)]


@dataclass(eq=False)
class _Item(Generic[T]):
    """Something with its images, of which ``left`` are not encoded yet."""

    thing: T
    images: list[torch.Tensor | None]
    left: int
    grids: dict[int, torch.Tensor] = field(default_factory=dict)


def encode_stream(
    batches: Batches, items: Iterable[tuple[T, Sequence[torch.Tensor]]], *, most_waiting: int | None = None
) -> Iterator[tuple[T, list[torch.Tensor]]]:
    """Encode the images of a stream of things, those of equal size together; results in the stream's order.

    An image waits for others of its size until there are enough for a batch, or until too much waits.

    Args:
        batches: encodes them.
        items: each with its images, pixels (3, H, W) of any size; it may have none. Taken as needed.
        most_waiting: images that wait, at most; four batches if not given.

    Yields:
        Each thing with the grids of its images.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> backbone = BACKBONES.create("timm:test_vit?weights=random")
        >>> items = [("two", [torch.zeros(3, 32, 48), torch.zeros(3, 64, 32)]), ("none", [])]
        >>> [(name, len(grids)) for name, grids in encode_stream(Batches(backbone, 4), items)]
        [('two', 2), ('none', 0)]
    """
    line = _Line[T](batches)
    most = 4 * batches.size if most_waiting is None else most_waiting
    for thing, images in items:
        line.add(thing, images)
        line.encode_full()
        while line.waiting >= most or line.held > _HELD:
            line.encode_first()
            yield from line.done()
        yield from line.done()
    while line.waiting:
        line.encode_first()
        yield from line.done()


class _Line(Generic[T]):
    """Things in their order, and their images by size."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._things: deque[_Item[T]] = deque()
        self._by_size: defaultdict[torch.Size, deque[tuple[_Item[T], int]]] = defaultdict(deque)
        self.waiting = self.held = 0

    def add(self, thing: T, images: Sequence[torch.Tensor]) -> None:
        item = _Item(thing, list(images), len(images))
        self._things.append(item)
        for index, image in enumerate(images):
            self._by_size[image.shape].append((item, index))
            self.waiting += 1
            self.held += image.nbytes

    def encode_full(self) -> None:
        """Encode every batch that is full."""
        for size, line in self._by_size.items():
            while len(line) >= self._batches.size:
                self._encode(size)

    def encode_first(self) -> None:
        """Encode a batch of the size for which the first thing waits."""
        first = next(item for item in self._things if item.left)
        self._encode(next(image.shape for image in first.images if image is not None))

    def done(self) -> Iterator[tuple[T, list[torch.Tensor]]]:
        """Give out what is finished at the front."""
        while self._things and not self._things[0].left:
            item = self._things.popleft()
            yield item.thing, [item.grids[index] for index in range(len(item.images))]

    def _encode(self, size: torch.Size) -> None:
        line = self._by_size[size]
        batch = [line.popleft() for _ in range(min(self._batches.size, len(line)))]
        images = [image for item, index in batch if (image := item.images[index]) is not None]
        for (item, index), grid in zip(batch, self._batches.encode(images), strict=True):
            item.grids[index], item.images[index] = grid, None  # its pixels may go
            item.left -= 1
        self.waiting -= len(images)
        self.held -= sum(image.nbytes for image in images)
