"""Models that remember what they computed of the image in hand, for the methods that share them.

What is remembered is found by the bytes that went in, so it does not matter which method asked first, nor
whether two cut the same crop by different code. Results are the same to the last bit, remembered or not.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from contextlib import suppress
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np
import torch

from fmbseg.models.contracts import HasOptions, ImageTextFeatures, Movable, SharesSight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.contracts import Backbone, ImageTextEncoder, MaskGenerator, Prompter

T = TypeVar("T")


class _Known(NamedTuple):
    """A result, the seconds that it alone took, the results that it was made from, and its bytes."""

    result: object
    seconds: float
    parts: list[tuple[object, ...]]
    size: int


class Memory:
    """What models computed of one image, with the seconds that it took; of more, if :meth:`keep` says so.

    Attributes:
        saved: seconds that were not needed since :meth:`turn_to`, because the result was known from before.
        encodes: how often a model has encoded a crop, a window or an image, over all images.

    Example:
        >>> memory = Memory()
        >>> memory.turn_to("an image")
        >>> memory.get(("sum",), lambda: 1 + 1), memory.get(("sum",), lambda: 3)
        (2, 2)
    """

    def __init__(self) -> None:
        self.saved = 0.0
        self.encodes = 0
        self._most_images, self._most_bytes = 1, sys.maxsize
        self._images: OrderedDict[int, tuple[object, OrderedDict[tuple[object, ...], _Known]]] = OrderedDict()
        self._known: OrderedDict[tuple[object, ...], _Known] = OrderedDict()
        self._used: set[tuple[object, ...]] = set()
        self._making: list[list[tuple[object, ...]]] = []
        self._spent = 0.0
        self._size = 0

    def keep(self, *, images: int = 1, size: int = sys.maxsize) -> None:
        """Remember at most ``images`` images and ``size`` bytes in all; those used last are kept.

        The last result is kept, however large it is.
        """
        self._most_images, self._most_bytes = images, size

    @property
    def size(self) -> int:
        """Bytes of all results that are remembered."""
        return self._size

    def turn_to(self, image: object) -> None:
        """A method begins with an image; what is known of the one used longest ago is forgotten."""
        self.saved = 0.0
        self._used.clear()
        # The image is kept beside what is known of it, so that no other object takes its id.
        _, self._known = self._images[id(image)] = self._images.pop(id(image), (image, OrderedDict()))
        while len(self._images) > self._most_images:
            _, (_, gone) = self._images.popitem(last=False)
            self._size -= sum(one.size for one in gone.values())

    def get(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """What is known by a key, or else what ``make`` gives."""
        if self._making:
            self._making[-1].append(key)
        if key in self._known:
            self._known.move_to_end(key)
            self._count(key)
            return cast("T", self._known[key].result)
        parts: list[tuple[object, ...]] = []
        self._making.append(parts)
        before, start = self._spent, perf_counter()
        try:
            made = make()
        finally:
            self._making.pop()
        took = perf_counter() - start
        self.encodes += not parts  # what is made of others encodes nothing itself
        self._known[key] = _Known(made, took - (self._spent - before), parts, size_of(made))
        self._size += self._known[key].size
        self._spent = before + took
        self._used.add(key)
        self._make_room()
        return made

    def _make_room(self) -> None:
        """Forget what was used longest ago until there are no more bytes than allowed."""
        while self._size > self._most_bytes:
            oldest = next((known for _, known in self._images.values() if known), self._known)
            if oldest is self._known and len(oldest) < 2:
                return
            self._size -= oldest.popitem(last=False)[1].size

    def _count(self, key: tuple[object, ...]) -> None:
        """Count what is known as saved, unless this method has made or counted it."""
        if key in self._used or key not in self._known:
            return
        self._used.add(key)
        self.saved += self._known[key].seconds
        for part in self._known[key].parts:
            self._count(part)


def size_of(result: object) -> int:
    """Bytes of the tensors, arrays and texts that a result holds, each once; those of models do not count.

    Example:
        >>> size_of({"a": [np.zeros(3, np.float32)], "b": (torch.zeros(2), torch.nn.Linear(9, 9))})
        20
    """
    found, seen, todo = 0, set[int](), [result]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found += one.untyped_storage().nbytes()
        elif isinstance(one, np.ndarray):
            found += one.nbytes
        elif isinstance(one, bytes | str):
            found += len(one)
        elif isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
        elif not callable(one):  # models are
            with suppress(TypeError):  # a number has no attributes
                todo += vars(one).values()
    return found


class RememberingImageText:
    """An image-text encoder; each crop of an image is encoded once.

    On a CPU crops are encoded one by one, which takes no longer there and makes each crop's result
    independent of those beside it; elsewhere in the batches that are asked for.

    Args:
        inner: the encoder.
        memory: of the image in hand.
    """

    def __init__(self, inner: ImageTextEncoder, memory: Memory) -> None:
        self.inner, self._memory = inner, memory
        self.spec, self.dim, self.license = inner.spec, inner.dim, inner.license
        self.crop_size, self.stride, self.transform = inner.crop_size, inner.stride, inner.transform

    def to(self, device: torch.device | str) -> RememberingImageText:
        """Move the weights to ``device`` and return self."""
        self.inner = self.inner.to(device)
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode K prompts to unit vectors (K, D)."""
        return self.inner.encode_text(prompts)

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Encode crops (B, 3, crop_size, crop_size) to pooled (B, D) and dense (B, D, h, w)."""
        if crops.device.type != "cpu" or crops.ndim != 4:
            return self._memory.get((self, _bytes_of(crops)), lambda: self._features(crops))
        each = [self._memory.get((self, _bytes_of(crop)), lambda: self._encode(crop)) for crop in crops]  # noqa: B023 - called at once
        return ImageTextFeatures(
            torch.stack([pooled for pooled, _ in each]), torch.stack([dense for _, dense in each])
        )

    def _encode(self, crop: torch.Tensor) -> ImageTextFeatures:
        pooled, dense = self._features(crop[None])
        return ImageTextFeatures(pooled[0], dense[0])

    def _features(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Those of crops; models that differ in their dense map only share what comes before it."""
        model = self.inner
        if not isinstance(model, SharesSight) or model.sight is None:
            return model.encode_image(crops)
        return model.features_of(self._memory.get((model.sight, _bytes_of(crops)), lambda: model.see(crops)))


class RememberingBackbone:
    """A backbone; each batch of windows of an image is encoded once.

    Args:
        inner: the backbone.
        memory: of the image in hand.
    """

    def __init__(self, inner: Backbone, memory: Memory) -> None:
        self.inner, self._memory = inner, memory
        self.spec, self.dim, self.stride = inner.spec, inner.dim, inner.stride
        self.native_size, self.license = inner.native_size, inner.license
        self.transform = inner.transform

    def to(self, device: torch.device | str) -> RememberingBackbone:
        """Move the weights to ``device`` and return self."""
        self.inner = self.inner.to(device)
        return self

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, dim, H/stride, W/stride)."""
        return self._memory.get((self, _bytes_of(pixels)), lambda: self.inner.encode(pixels))


class RememberingMasks:
    """A mask generator; an image is encoded once, and what is asked twice is decoded once.

    Args:
        inner: the generator.
        memory: of the image in hand.
    """

    def __init__(self, inner: MaskGenerator, memory: Memory) -> None:
        self.inner, self._memory = inner, memory
        self.spec, self.promptable, self.license = inner.spec, inner.promptable, inner.license

    @property
    def options(self) -> Mapping[str, Any]:
        """The settings that differ from the defaults."""
        return self.inner.options if isinstance(self.inner, HasOptions) else {}

    def to(self, device: torch.device | str) -> RememberingMasks:
        """Move the weights to ``device`` and return self."""
        if isinstance(self.inner, Movable):
            self.inner.to(device)
        return self

    def begin(self, image: NDArray[np.uint8]) -> RememberingPrompter:
        """Encode an RGB image (H, W, 3), when it is first asked for masks."""
        return RememberingPrompter(self, image, self._memory)


class RememberingPrompter:
    """The image in hand of :class:`RememberingMasks`."""

    def __init__(self, masks: RememberingMasks, image: NDArray[np.uint8], memory: Memory) -> None:
        self._masks, self._image, self._memory = masks, image, memory
        self._key = (masks, _digest(image))

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """The best mask for each set of points or each box."""
        asked = (*(one.tobytes() for one in points), None if boxes is None else boxes.tobytes())
        return self._memory.get((*self._key, asked), lambda: self._begun().prompt(points, boxes=boxes))

    def everything(self) -> MaskSet:
        """Every mask that can be found."""
        return self._memory.get((*self._key, "everything"), lambda: self._begun().everything())

    def _begun(self) -> Prompter:
        return self._memory.get(self._key, lambda: self._masks.inner.begin(self._image))


def _bytes_of(pixels: torch.Tensor) -> tuple[object, ...]:
    return (tuple(pixels.shape), _digest(pixels.detach().cpu().contiguous().numpy()))


def _digest(array: NDArray[Any]) -> bytes:
    return blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()
