"""What "segment everything" does in one crop, a batch of points at a time, for one image or for several."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torchvision.ops import nms  # type: ignore[import-untyped]

from fmbseg.models.mask_generators.candidates import passing
from fmbseg.models.mask_generators.sampling import Seen, grid_points, make_sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.candidates import Candidates, Found, Passed, SamDecoder
    from fmbseg.models.mask_generators.crops import CropPlan
    from fmbseg.models.mask_generators.settings import EverythingSettings


@runtime_checkable
class DecodesTogether(Protocol):
    """A decoder that takes prompts of several images of its model at once."""

    def decode_together(
        self, decoders: Sequence[SamDecoder], points: Sequence[NDArray[np.float32]]
    ) -> list[Candidates]:
        """Decode as many prompts of each image: for each decoder, what its ``decode`` gives."""
        ...


class Search:
    """Tries the points of one crop and drops all but the best of masks whose boxes overlap.

    Args:
        decoder: the crop's.
        plan: the crop, and its points.
        size: height and width of the whole image in pixels.
        settings: of "segment everything".
    """

    def __init__(
        self, decoder: SamDecoder, plan: CropPlan, size: tuple[int, int], settings: EverythingSettings
    ) -> None:
        self.decoder = decoder
        self._crop, self._size, self._settings = plan.crop, size, settings
        self._points = grid_points(plan.crop.size, plan.points_per_side)
        self._sampler = make_sampler(settings, plan.points_per_side, decoder.features(self._points))
        self._passed: list[Passed] = []

    def take(self) -> NDArray[np.float32]:
        """Prompts of one point each to try next, (N, 1, 2); none when done."""
        return self._points[self._sampler.take(self._settings.points_per_batch)][:, None]

    @property
    def least(self) -> float:
        """Prompts without a candidate of a higher predicted IoU need not be drawn."""
        threshold = self._settings.predicted_iou_threshold
        return -math.inf if self._sampler.learns or not threshold else threshold

    def see(self, decoded: Candidates) -> None:
        """Judge what the last prompts found."""
        asked = self._points if self._sampler.learns else self._points[:0]
        passed, inside = passing(self.decoder, decoded, self._settings, self._crop, self._size, asked)
        self._passed.append(passed)
        if self._sampler.learns:
            self._sampler.tell(
                Seen(
                    _likely(self.decoder, decoded, self._points).cpu().numpy(),
                    inside,
                    passed.predicted_iou.cpu().numpy(),
                    passed.stability.cpu().numpy(),
                )
            )

    def found(self) -> Found:
        """The masks that stay, with their run lengths."""
        every = type(self._passed[0]).concat(self._passed)
        kept = nms(every.boxes, every.predicted_iou, self._settings.box_nms_threshold)
        return every.coded(kept, self._crop, self._size)


def run(search: Search) -> Found:
    """Try all points of one crop."""
    while len(points := search.take()):
        search.see(search.decoder.decode(points, least=search.least))
    return search.found()


def run_together(searches: Sequence[Search]) -> list[Found]:
    """Try the points of several images in step, so that one decode serves all; each is searched as alone."""
    active = list(searches)
    while active:
        batches: defaultdict[int, list[tuple[Search, NDArray[np.float32]]]] = defaultdict(list)
        for search in active:
            points = search.take()
            batches[len(points)].append((search, points))
        batches.pop(0, None)
        active = [search for batch in batches.values() for search, _ in batch]
        for batch in batches.values():
            first = batch[0][0].decoder
            assert isinstance(first, DecodesTogether)
            decoded = first.decode_together(
                [search.decoder for search, _ in batch], [points for _, points in batch]
            )
            for (search, _), one in zip(batch, decoded, strict=True):
                search.see(one)
    return [search.found() for search in searches]


def _likely(decoder: SamDecoder, decoded: Candidates, points: NDArray[np.float32]) -> torch.Tensor:
    """How likely it is that each point lies in what each prompt found, (N, P); see :class:`Seen`."""
    count, candidates = decoded.predicted_iou.shape
    inside = decoder.sample(decoded.logits.flatten(0, 1), points).view(count, candidates, -1).sigmoid()
    trust = decoded.predicted_iou.clamp(0, 1)
    shares = trust / trust.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return (inside * shares[:, :, None]).sum(dim=1) * trust.amax(dim=1, keepdim=True)
