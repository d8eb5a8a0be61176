"""The part of prompting that all models of SAM's kind share, written once above their decoders.

Points in, logits and the model's own estimate of their IoU out: from there on, choosing the best mask for a
prompt and "segment everything" (Kirillov et al. 2023, arXiv 2304.02643, §5 and appendix B) are the same.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torchvision.ops import nms  # type: ignore[import-untyped]

from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.settings import EverythingSettings

_T = TypeVar("_T")
_COARSE_STRIDES = (8, 4, 2)


class Decoded(NamedTuple):
    """What a decoder says of N prompts; C candidates each, of which C = 1 where the model chose by itself.

    Attributes:
        logits: (N, C, h, w) float32, of the model's own coarse size; above 0 is inside the mask.
        predicted_iou: (N, C) float32.
    """

    logits: torch.Tensor
    predicted_iou: torch.Tensor


class SamDecoder(Protocol):
    """The decoder of one image that has been encoded.

    Attributes:
        size: height and width of the image in pixels.
    """

    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102 - said above

    def decode(self, points: NDArray[np.float32]) -> Decoded:
        """Decode N prompts of P foreground points each, (N, P, 2) as (x, y) in pixels of the image."""
        ...

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Bring coarse logits (N, h, w) to the image, (N, H, W)."""
        ...


class SamPrompter:
    """Prompter of one encoded image.

    Coarse logits become full-size masks one at a time, and only those whose predicted IoU passes: memory does
    not grow with the number of points.

    Args:
        decoder: of the image.
        settings: of ``everything``.
    """

    def __init__(self, decoder: SamDecoder, settings: EverythingSettings) -> None:
        self._decoder = decoder
        self._settings = settings

    def prompt(self, points: Sequence[NDArray[np.float32]]) -> MaskSet:
        """Return for each set of points the candidate mask of highest predicted IoU.

        Args:
            points: for each mask its foreground points (P, 2), as (x, y) in pixels of the image.

        Returns:
            As many masks as sets of points, in their order; a mask may be empty.

        Raises:
            ValueError: a set is empty, of another shape, or has a point outside the image.
        """
        for index, one in enumerate(points):
            _check_points(one, self._decoder.size, index)
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, one in enumerate(points):
            by_length[len(one)].append(index)
        masks: dict[int, MaskSet] = {}
        for indices in by_length.values():
            for batch in _batches(iter(indices), self._settings.points_per_batch):
                decoded = self._decoder.decode(
                    np.stack([points[index] for index in batch]).astype(np.float32)
                )
                best = decoded.predicted_iou.argmax(dim=1)
                for row, index in enumerate(batch):
                    iou = float(decoded.predicted_iou[row, best[row]])
                    masks[index] = self._mask(decoded.logits[row, best[row]], iou)
        if not masks:
            return MaskSet.empty(self._decoder.size)
        return MaskSet.concat([masks[index] for index in range(len(points))])

    def everything(self) -> MaskSet:
        """Return all masks of a grid of points that pass the filters of the settings, best first."""
        settings = self._settings
        covered = np.zeros(self._decoder.size, np.bool_)
        kept: list[MaskSet] = []
        points = _grid_points(self._decoder.size, settings.points_per_side, adaptive=self._adaptive)
        for batch in _batches(_uncovered(points, covered), settings.points_per_batch):
            for mask in self._accepted(np.stack(batch)):
                kept.append(mask)
                if self._covers(mask):
                    covered |= mask.decode(0)
        return self._without_duplicates(MaskSet.concat(kept)) if kept else MaskSet.empty(self._decoder.size)

    @property
    def _adaptive(self) -> bool:
        return self._settings.sampling == "adaptive"

    def _covers(self, mask: MaskSet) -> bool:
        """Whether the points inside a mask need not be tried any more."""
        settings = self._settings
        return (
            self._adaptive
            and bool(mask.predicted_iou[0] > settings.cover_predicted_iou)
            and bool(mask.stability[0] >= settings.cover_stability)
        )

    def _accepted(self, points: NDArray[np.float32]) -> Iterator[MaskSet]:
        """Decode points (N, 2), each a prompt of its own, and yield the masks that pass, one at a time."""
        decoded = self._decoder.decode(points[:, None])
        logits, ious = decoded.logits.flatten(0, 1), decoded.predicted_iou.flatten()
        for index in torch.nonzero(ious > self._settings.predicted_iou_threshold).flatten().tolist():
            mask = self._mask(logits[index], float(ious[index]))
            if mask.stability[0] >= self._settings.stability_threshold and mask.areas[0] > 0:
                yield mask

    def _mask(self, logits: torch.Tensor, iou: float) -> MaskSet:
        """Bring coarse logits (h, w) to one full-size mask with its stability."""
        whole = self._decoder.upscale(logits[None])[0]
        offset = self._settings.stability_offset
        inner, outer = int((whole > offset).sum()), int((whole > -offset).sum())
        stability = inner / outer if outer else 0.0
        return MaskSet.from_masks((whole > 0).cpu().numpy()[None], [iou], [stability])

    def _without_duplicates(self, masks: MaskSet) -> MaskSet:
        """Suppress all but the best of masks whose boxes overlap; what stays is ordered by score."""
        # SAM measures boxes between the centres of the outermost pixels, hence the pixel less.
        boxes = torch.from_numpy(masks.boxes) - torch.tensor([0.0, 0.0, 1.0, 1.0])
        keep = nms(boxes, torch.from_numpy(masks.predicted_iou), self._settings.box_nms_threshold)
        return masks.select(keep.numpy())


def _grid_points(size: tuple[int, int], per_side: int, *, adaptive: bool) -> Iterator[NDArray[np.float32]]:
    """Yield the (x, y) of the centres of ``per_side`` squared cells: row by row, or from coarse to fine.

    From coarse to fine, each round takes the middle of blocks of 8, then 4, 2 and 1 cells a side, of those
    sizes that divide the grid, and every point comes once.
    """
    height, width = size
    seen = np.zeros((per_side, per_side), np.bool_)
    coarse = [stride for stride in _COARSE_STRIDES if adaptive and per_side % stride == 0]
    for stride in [*coarse, 1]:
        lines = range(stride // 2, per_side, stride)
        for row in lines:
            for column in lines:
                if not seen[row, column]:
                    seen[row, column] = True
                    x, y = (column + 0.5) / per_side * width, (row + 0.5) / per_side * height
                    yield np.array([x, y], np.float32)


def _uncovered(
    points: Iterator[NDArray[np.float32]], covered: NDArray[np.bool_]
) -> Iterator[NDArray[np.float32]]:
    """Leave out the points that are covered at the moment they are asked for."""
    return (point for point in points if not covered[int(point[1]), int(point[0])])


def _batches(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    """Take items up to ``size`` at a time, and no earlier than they are needed."""
    while batch := list(islice(items, size)):
        yield batch


def _check_points(points: NDArray[np.float32], size: tuple[int, int], index: int) -> None:
    """Refuse a set of points that is empty, has another shape or leaves the image."""
    height, width = size
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"set {index} of points has shape {points.shape}: it must be (P, 2) with P >= 1")
    inside = np.isfinite(points) & (points >= 0) & (points <= [width, height])
    if not inside.all():
        outside = points[~inside.all(axis=1)][0].tolist()
        raise ValueError(
            f"set {index} has the point (x, y) = {outside}, outside the image of {width} x {height} px"
            " (width x height)"
        )
