"""The part of prompting that all SAM-like models share, written once on top of their decoders.

Decoders turn points into logits and the model's own estimate of their IoU; choosing the best mask for a
prompt and "segment everything" (Kirillov et al. 2023, arXiv 2304.02643, §5 and appendix B) follow here.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.ops import nms  # type: ignore[import-untyped]

from fmbseg.masks import MaskSet
from fmbseg.models.checks import check_boxes
from fmbseg.models.mask_generators.candidates import Crop, Found, full_size, run_lengths
from fmbseg.models.mask_generators.crops import CropPlan, plan_crops
from fmbseg.models.mask_generators.search import DecodesTogether, Search, run, run_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.candidates import Candidates, SamDecoder
    from fmbseg.models.mask_generators.settings import EverythingSettings


class SamPrompter:
    """Prompter of one image, which is encoded once as a whole; crops, if asked for, when their turn comes.

    Args:
        image: RGB, (H, W, 3).
        encode: makes the decoder of an image or of a crop of it.
        settings: settings of ``everything``.
        decoder: that of the image, if it is made already.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        encode: Callable[[NDArray[np.uint8]], SamDecoder],
        settings: EverythingSettings,
        decoder: SamDecoder | None = None,
    ) -> None:
        self._image = image
        self._encode = encode
        self._settings = settings
        self._decoder = encode(image) if decoder is None else decoder
        self.group: _InStep | None = None

    @property
    def decoder(self) -> SamDecoder:
        """That of the whole image."""
        return self._decoder

    @property
    def whole(self) -> CropPlan | None:
        """How the whole image is searched; None if crops of it are, too."""
        plans = plan_crops(self._decoder.size, self._settings)
        return plans[0] if len(plans) == 1 else None

    @torch.no_grad()
    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Return for each set of points, or each box, the candidate mask with the highest predicted IoU.

        Args:
            points: for each mask, its foreground points (P, 2), as (x, y) in pixels of the image.
            boxes: (N, 4), around one thing each: x0, y0, x1, y1 in pixels of the image, x1 and y1 just
                outside. Give either points or boxes, not both.

        Returns:
            As many masks as sets of points or boxes, in the same order; a mask may be empty.

        Raises:
            ValueError: points and boxes are given; a set of points is empty, of another shape, or has a point
                outside the image; a box has no area or leaves the image.
        """
        if boxes is None:
            return self._at_points(points)
        if len(points):
            raise ValueError("points and boxes are given: ask for the masks of each by a call of its own")
        return self._in_boxes(boxes)

    @torch.no_grad()
    def prompt_thing(self, inside: NDArray[np.float32], outside: NDArray[np.float32]) -> MaskSet:
        """Return the candidate mask with the highest predicted IoU of one thing.

        Args:
            inside: points on it, (P, 2), one or more, as (x, y) in pixels of the image.
            outside: points that are not on it, (Q, 2).

        Raises:
            ValueError: there is no point inside; points are of another shape, or outside the image.
        """
        given = [inside, *([outside] if len(outside) else [])]
        for index, one in enumerate(given):
            _check_points(one, self._decoder.size, index)
        prompt = np.concatenate(given)[None].astype(np.float32)
        return self._best(self._decoder.decode(prompt, beside=len(outside)))

    def _in_boxes(self, boxes: NDArray[np.float32]) -> MaskSet:
        check_boxes(boxes, self._decoder.size)
        step = self._settings.points_per_batch
        batches = [boxes[start : start + step].astype(np.float32) for start in range(0, len(boxes), step)]
        found = [self._best(self._decoder.decode_boxes(batch)) for batch in batches]
        return MaskSet.concat(found) if found else MaskSet.empty(self._decoder.size)

    def _at_points(self, points: Sequence[NDArray[np.float32]]) -> MaskSet:
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, one in enumerate(points):
            _check_points(one, self._decoder.size, index)
            by_length[len(one)].append(index)
        masks: dict[int, MaskSet] = {}
        for indices in by_length.values():
            for start in range(0, len(indices), self._settings.points_per_batch):
                batch = indices[start : start + self._settings.points_per_batch]
                decoded = self._decoder.decode(
                    np.stack([points[index] for index in batch]).astype(np.float32)
                )
                best = self._best(decoded)
                masks |= {index: best.select([row]) for row, index in enumerate(batch)}
        if not masks:
            return MaskSet.empty(self._decoder.size)
        return MaskSet.concat([masks[index] for index in range(len(points))])

    @torch.no_grad()
    def everything(self) -> MaskSet:
        """Return all masks of a grid of points that pass the filters of the settings, best first."""
        if self.group is not None:
            return self.group.found(self).masks(self._decoder.size)
        plans = plan_crops(self._decoder.size, self._settings)
        found = Found.concat([run(self.search(plan)) for plan in plans])
        if len(plans) > 1:
            kept = nms(found.boxes, found.rank, self._settings.crop_nms_threshold)
            found = found.select(kept[found.predicted_iou[kept].argsort(descending=True, stable=True)])
        return found.masks(self._decoder.size)

    def _best(self, decoded: Candidates) -> MaskSet:
        """Resize the best candidate of each prompt to full size."""
        logits, ious = _best_logits(decoded), decoded.predicted_iou.amax(dim=1)
        height, width = size = self._decoder.size
        whole = Crop(0, 0, width, height)
        rles: list[bytes] = []
        stability = []
        for _, part in full_size(self._decoder, logits, self._settings.stability_offset):
            rles += run_lengths(part.masks, whole, size)
            stability.append(part.stability)
        return MaskSet(size, tuple(rles), ious.cpu().numpy(), torch.cat(stability).cpu().numpy())

    def search(self, plan: CropPlan) -> Search:
        """Begin to look for everything in one crop."""
        crop, decoder = plan.crop, self._decoder
        if crop.size != decoder.size:
            decoder = self._encode(
                np.ascontiguousarray(self._image[crop.top : crop.bottom, crop.left : crop.right])
            )
        return Search(decoder, plan, self._decoder.size, self._settings)


def search_in_step(prompters: Sequence[SamPrompter]) -> None:
    """Let several prompters look for everything in step, when one of them is first asked to.

    Args:
        prompters: of one model. Those whose decoder takes prompts of one image only go on by themselves, as
            do those that look at crops.
    """
    able = [one for one in prompters if one.whole is not None and isinstance(one.decoder, DecodesTogether)]
    if len(able) > 1:
        group = _InStep(able)
        for one in able:
            one.group = group


class _InStep:
    def __init__(self, prompters: Sequence[SamPrompter]) -> None:
        self._prompters = prompters
        self._found: list[Found] = []
        self._lock = threading.Lock()

    def found(self, prompter: SamPrompter) -> Found:
        with self._lock:
            if not self._found:
                plans = [one.whole for one in self._prompters]
                self._found = run_together(
                    [
                        one.search(plan)
                        for one, plan in zip(self._prompters, plans, strict=True)
                        if plan is not None
                    ]
                )
            return self._found[self._prompters.index(prompter)]


def _best_logits(decoded: Candidates) -> torch.Tensor:
    """Take each prompt's candidate with the highest predicted IoU, (N, h, w)."""
    best = decoded.predicted_iou.argmax(dim=1)
    return decoded.logits[torch.arange(len(best), device=best.device), best]


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
