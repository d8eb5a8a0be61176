"""From a decoder's coarse logits to full-size masks with their scores, filtered where they were computed.

Everything runs on the decoder's device, where a mask is kept as one bit a pixel until it is known which boxes
overlap; only what is left then goes to the CPU, as run lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from pycocotools import mask as coco

from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.settings import EverythingSettings

_FULL_SIZE_AT_ONCE = 16
_FULL_SIZE_AT_ONCE_ON_CPU = 4  # this many fit in the cache
_EDGE_TOLERANCE_PX = 20.0


class Candidates(NamedTuple):
    """A decoder's output for N prompts, with C candidates each; C = 1 where the model chose by itself.

    Attributes:
        logits: (N, C, h, w) float32, in the model's own coarse size; above 0 is inside the mask.
        predicted_iou: (N, C) float32.
    """

    logits: torch.Tensor
    predicted_iou: torch.Tensor


class Needed(NamedTuple):
    """What of a decode is needed; a decoder may leave out the rest.

    Attributes:
        above: prompts one of whose candidates has a predicted IoU above this.
        covered: parts of the frame's height and width, from its upper left corner, that the image covers;
            logits beyond are 0 where they are left out.
    """

    above: float = -math.inf
    covered: tuple[float, float] = (1.0, 1.0)


EVERYTHING = Needed()


class SamDecoder(Protocol):
    """The decoder of one encoded image.

    Attributes:
        size: height and width of the image in pixels.
    """

    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102 - said above

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        """Decode N prompts of P points each, (N, P, 2) as (x, y) in pixels of the image.

        Args:
            points: the prompts.
            beside: how many points of each prompt, the last ones, are not on the thing.
            least: prompts none of whose candidates has a predicted IoU above this may be left out.
        """
        ...

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """Decode N prompts of a box each, (N, 4) as x0, y0, x1, y1 in pixels of the image."""
        ...

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize coarse logits (N, h, w) to the image, (N, H, W)."""
        ...

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read coarse logits (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        ...

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Read the encoder's features at points (P, 2), (x, y) in pixels of the image, (P, C)."""
        ...


class Crop(NamedTuple):
    """Where a decoder's image lies in the whole image, in pixels; ends are just outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left


class Passed(NamedTuple):
    """N masks of a crop that passed, and the scores they passed with.

    Attributes:
        bits: their pixels, see :func:`pack`.
        boxes: (N, 4) left, top, right, bottom between the outermost pixels' centres, as SAM measures them, in
            the whole image.
        predicted_iou: (N,).
        stability: (N,).
    """

    bits: torch.Tensor
    boxes: torch.Tensor
    predicted_iou: torch.Tensor
    stability: torch.Tensor

    @classmethod
    def concat(cls, parts: Sequence[Passed]) -> Passed:
        """Join at least one part, in order."""
        return cls(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def coded(self, positions: torch.Tensor, crop: Crop, size: tuple[int, int]) -> Found:
        """The masks at these positions, in this order, with their run lengths in an image of ``size``."""
        bits, boxes, predicted_iou, stability = (each[positions] for each in self)
        rles = tuple(
            rle
            for some in bits.split(_FULL_SIZE_AT_ONCE)  # type: ignore[no-untyped-call]
            for rle in run_lengths(unpack(some, crop.size), crop, size)
        )
        rank = torch.full((len(rles),), 1 / (crop.size[0] * crop.size[1]), device=boxes.device)
        return Found(rles, boxes, predicted_iou, stability, rank)


@dataclass(frozen=True)
class Found:
    """N masks of the whole image, and the scores they passed with.

    Args:
        rles: run lengths of each mask.
        boxes: (N, 4), as in :class:`Passed`.
        predicted_iou: (N,).
        stability: (N,).
        rank: (N,) decides which of several crops' duplicates is kept: the highest.
    """

    rles: tuple[bytes, ...]
    boxes: torch.Tensor
    predicted_iou: torch.Tensor
    stability: torch.Tensor
    rank: torch.Tensor

    @classmethod
    def concat(cls, parts: Sequence[Found]) -> Found:
        """Join at least one part, in order."""
        return cls(
            tuple(rle for part in parts for rle in part.rles),
            torch.cat([part.boxes for part in parts]),
            torch.cat([part.predicted_iou for part in parts]),
            torch.cat([part.stability for part in parts]),
            torch.cat([part.rank for part in parts]),
        )

    def select(self, positions: torch.Tensor) -> Found:
        """Return the masks at these positions, in this order."""
        return Found(
            tuple(self.rles[index] for index in positions.tolist()),
            self.boxes[positions],
            self.predicted_iou[positions],
            self.stability[positions],
            self.rank[positions],
        )

    def masks(self, size: tuple[int, int]) -> MaskSet:
        """Return them as the masks of an image of ``size`` (height, width)."""
        return MaskSet(
            size, self.rles, self.predicted_iou.float().cpu().numpy(), self.stability.float().cpu().numpy()
        )


class FullSize(NamedTuple):
    """Masks at the size of the decoder's image: masks (n, H, W) bool and stability (n,)."""

    masks: torch.Tensor
    stability: torch.Tensor


def full_size(decoder: SamDecoder, logits: torch.Tensor, offset: float) -> Iterator[tuple[slice, FullSize]]:
    """Resize coarse logits (N, h, w) to the image, a few at a time, so that memory does not grow with N.

    Yields:
        Indices among the N, their masks and their stability: the IoU of the mask at logits above +offset with
        that above -offset, 0 where both are empty.
    """
    step = _FULL_SIZE_AT_ONCE_ON_CPU if logits.device.type == "cpu" else _FULL_SIZE_AT_ONCE
    for start in range(0, len(logits), step):
        part = slice(start, start + step)
        whole = decoder.upscale(logits[part])
        inner, outer = count_pixels(whole > offset), count_pixels(whole > -offset)
        yield part, FullSize(whole > 0, inner / outer.clamp(min=1))


def passing(
    decoder: SamDecoder,
    decoded: Candidates,
    settings: EverythingSettings,
    crop: Crop,
    size: tuple[int, int],
    places: NDArray[np.float32],
) -> tuple[Passed, NDArray[np.bool_]]:
    """Keep the masks of single-point prompts that pass the filters of the settings.

    Args:
        decoder: the crop's decoder.
        decoded: N prompts with C candidates each; every candidate is judged.
        settings: thresholds and areas.
        crop: where the decoder's image lies.
        size: height and width of the whole image in pixels.
        places: (P, 2) points (x, y) in the decoder's image.

    Returns:
        The masks that pass, and which of the places lie in each, (M, P).
    """
    logits, ious = decoded.logits.flatten(0, 1), decoded.predicted_iou.flatten()
    if settings.predicted_iou_threshold > 0:  # at 0, nothing is left out, as in segment_anything
        sure = torch.nonzero(ious > settings.predicted_iou_threshold).flatten()
        logits, ious = logits[sure], ious[sure]
    x, y = (torch.from_numpy(places[:, axis].astype(np.int64)).to(logits.device) for axis in (0, 1))
    parts, inside = [_none(ious, crop)], [np.zeros((0, len(places)), np.bool_)]
    for part, whole in full_size(decoder, logits, settings.stability_offset):
        boxes = boxes_of(whole.masks)
        areas = count_pixels(whole.masks)
        pixels = size[0] * size[1]
        good = (
            (whole.stability >= settings.stability_threshold)
            & (areas > 0)
            & (areas >= settings.min_area * pixels)
            & (areas <= settings.max_area * pixels)
            & ~_cut_by_crop(boxes, crop, size)
        )
        masks = whole.masks[good]
        corner = torch.tensor([crop.left, crop.top, crop.left, crop.top], device=boxes.device)
        parts.append(Passed(pack(masks), boxes[good] + corner, ious[part][good], whole.stability[good]))
        inside.append(masks[:, y, x].cpu().numpy())
    return Passed.concat(parts), np.concatenate(inside)


def count_pixels(masks: torch.Tensor) -> torch.Tensor:
    """Count the pixels of masks (N, H, W) bool, (N,); on a CPU by NumPy, which is quicker at it.

    Example:
        >>> count_pixels(torch.tensor([[[True, False, True]]]))
        tensor([2])
    """
    if masks.device.type == "cpu":
        return torch.tensor([np.count_nonzero(one) for one in masks.numpy()], dtype=torch.long)
    return masks.sum(dim=(1, 2))


def pack(masks: torch.Tensor) -> torch.Tensor:
    """Pack masks (N, H, W) bool where they are, eight pixels a byte, (N, bytes) uint8.

    Example:
        >>> pack(torch.tensor([[[True, False, False], [False, True, True]]])).tolist()
        [[140]]
    """
    if masks.device.type == "cpu":
        return torch.from_numpy(np.packbits(masks.flatten(1).numpy(), axis=1))
    return packed_by_shifts(masks)


def packed_by_shifts(masks: torch.Tensor) -> torch.Tensor:
    """The same by PyTorch's own operations, which every device has."""
    flat = masks.flatten(1).byte()
    flat = F.pad(flat, (0, -flat.shape[1] % 8)).view(len(masks), (flat.shape[1] + 7) // 8, 8)
    packed: torch.Tensor = (flat << _shifts(masks.device)).sum(dim=2, dtype=torch.uint8)
    return packed


def unpack(bits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The masks (N, H, W) of a size that were packed."""
    count = size[0] * size[1]
    if bits.device.type == "cpu":
        flat = torch.from_numpy(np.unpackbits(bits.numpy(), axis=1, count=count).astype(np.bool_))
    else:
        flat = unpacked_by_shifts(bits, count)
    return flat.view(len(bits), *size)


def unpacked_by_shifts(bits: torch.Tensor, count: int) -> torch.Tensor:
    """So many pixels of each mask (N, count) bool, by PyTorch's own operations."""
    flat = (bits[:, :, None] >> _shifts(bits.device)) & 1
    return flat.flatten(1)[:, :count].bool()


def _shifts(device: torch.device) -> torch.Tensor:
    return torch.arange(7, -1, -1, dtype=torch.uint8, device=device)


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """Measure (N, H, W) bool: left, top, right, bottom between the outermost pixels' centres, (N, 4).

    Example:
        >>> square = torch.zeros(1, 8, 9, dtype=torch.bool)
        >>> square[0, 2:5, 3:8] = True
        >>> boxes_of(square)
        tensor([[3., 2., 7., 4.]])
    """
    ends = []
    pixels = masks.view(torch.uint8)  # whose maximum takes a small part of the time of `any`
    for axis in (1, 2):  # over the rows gives columns, over the columns gives rows
        line = pixels.amax(dim=axis)
        count = line.shape[1]
        first = line.float().argmax(dim=1)
        last = count - 1 - line.flip(1).float().argmax(dim=1)
        ends.append((first, last))
    (left, right), (top, bottom) = ends
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return boxes * line.amax(dim=1)[:, None]


def run_lengths(masks: torch.Tensor, crop: Crop, size: tuple[int, int]) -> tuple[bytes, ...]:
    """Encode the masks (N, H, W) of a crop as masks of the whole image.

    A CPU hands each mask to pycocotools. From an accelerator only the places where runs end are copied.
    """
    if crop.size != size:
        whole = masks.new_zeros(len(masks), *size)
        whole[:, crop.top : crop.bottom, crop.left : crop.right] = masks
        masks = whole
    if masks.device.type == "cpu":
        return MaskSet.from_masks(masks.numpy()).rles
    return runs_of(masks)


def runs_of(masks: torch.Tensor) -> tuple[bytes, ...]:
    """Find where the runs of masks (N, H, W) end on the masks' device, and compress their lengths.

    Example:
        >>> square = torch.zeros(1, 8, 9, dtype=torch.bool)
        >>> square[0, 2:5, 3:8] = True
        >>> runs_of(square) == MaskSet.from_masks(square.numpy()).rles
        True
    """
    height, width = masks.shape[1:]
    pixels = masks.transpose(1, 2).flatten(1)  # COCO counts down the columns, and begins outside
    ends = torch.nonzero(pixels != F.pad(pixels[:, :-1], (1, 0))).cpu().numpy()
    rles = []
    for found in np.split(ends[:, 1], np.searchsorted(ends[:, 0], np.arange(1, len(masks)))):
        counts = np.diff(found, prepend=0, append=height * width)
        rles.append(coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width))
    return tuple(rle["counts"] for rle in rles[: len(masks)])


def _none(like: torch.Tensor, crop: Crop) -> Passed:
    empty = like.new_zeros(0)
    bits = like.new_zeros(0, (crop.size[0] * crop.size[1] + 7) // 8, dtype=torch.uint8)
    return Passed(bits, like.new_zeros(0, 4), empty, empty)


def _cut_by_crop(boxes: torch.Tensor, crop: Crop, size: tuple[int, int]) -> torch.Tensor:
    """Say for each box whether it is near an edge of its crop that is not the image's edge, (N,) bool."""
    height, width = size
    edges = torch.tensor(crop, dtype=torch.float32, device=boxes.device)
    image = torch.tensor([0, 0, width, height], dtype=torch.float32, device=boxes.device)
    placed = boxes + edges[:2].repeat(2)
    near_crop = (placed - edges).abs() <= _EDGE_TOLERANCE_PX
    near_image = (placed - image).abs() <= _EDGE_TOLERANCE_PX
    return (near_crop & ~near_image).any(dim=1)
