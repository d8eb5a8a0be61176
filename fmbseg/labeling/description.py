"""What the image-text model says of a photograph: one vector a crop, and a dense map of the whole.

Paper §3.2: the image is over-sampled, cut into C sliding crops, each goes through CLIP, and the patch
features are put together again.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.contracts import ImageTextEncoder


class Description(NamedTuple):
    """A photograph in the text space; every vector has unit length.

    Attributes:
        pooled: one vector a crop, (C, D).
        dense: one vector a cell of the stitched map, (D, h, w); the map covers the whole photograph.
    """

    pooled: torch.Tensor
    dense: torch.Tensor


class Crops(NamedTuple):
    """A photograph cut for the image-text model.

    Attributes:
        plans: where the crops of each scale lie.
        pixels: of each crop, (3, side, side), one scale after the other.
    """

    plans: tuple[WindowPlan, ...]
    pixels: list[torch.Tensor]


def cut_crops(image: NDArray[np.uint8], encoder: ImageTextEncoder, settings: LabelingSettings) -> Crops:
    """Over-sample a photograph and cut it into crops; no model computes.

    Args:
        image: RGB, (H, W, 3).
        encoder: the one that the crops are for.
        settings: ``short_side``, ``scales`` and ``crop_overlap`` are used.
    """
    plans = tuple(
        WindowPlan.crops(
            (image.shape[0], image.shape[1]),
            short_side=round(scale * settings.short_side),
            crop=encoder.crop_size,
            stride=encoder.stride,
            overlap=settings.crop_overlap,
        )
        for scale in settings.scales
    )
    return Crops(
        plans, [crop for plan in plans for crop in plan.cut(encoder.transform(image, plan.image_size))]
    )


def describe(image: NDArray[np.uint8], encoder: ImageTextEncoder, settings: LabelingSettings) -> Description:
    """Encode the crops of a photograph and stitch their dense features, overlaps and scales averaged.

    Args:
        image: RGB, (H, W, 3).
        encoder: of images and texts.
        settings: ``short_side``, ``scales``, ``crop_overlap`` and ``batch_size`` are used.
    """
    (description,) = describe_all([cut_crops(image, encoder, settings)], encoder, settings.batch_size)
    assert description is not None
    return description


def describe_all(
    photographs: Iterable[Crops | None], encoder: ImageTextEncoder, batch_size: int
) -> Iterator[Description | None]:
    """Describe photographs one after the other, with batches that span several of them.

    Every batch has ``batch_size`` crops, the last one filled up with its last crop: with one shape of batch,
    a crop's features do not depend, to the bit, on what else is in its batch. So a run that was stopped and
    goes on elsewhere makes the same labels. Only photographs of the batch in hand are in memory.

    Args:
        photographs: the crops of each; ``None`` is passed on.
        encoder: of the crops.
        batch_size: crops encoded at once.

    Yields:
        A description for each of ``photographs``, in order.
    """
    waiting: deque[_Waiting | None] = deque()
    crops: deque[tuple[_Waiting, torch.Tensor]] = deque()
    for photograph in photographs:
        one = None if photograph is None else _Waiting(photograph.plans)
        waiting.append(one)
        if one is not None and photograph is not None:
            crops.extend((one, crop) for crop in photograph.pixels)
        while len(crops) >= batch_size:
            _encode([crops.popleft() for _ in range(batch_size)], encoder, batch_size)
        yield from _finished(waiting)
    if crops:
        _encode(list(crops), encoder, batch_size)
    yield from _finished(waiting)


class _Waiting:
    """A photograph of which some crops are encoded.

    Args:
        plans: where its crops of each scale lie.
    """

    def __init__(self, plans: Sequence[WindowPlan]) -> None:
        self._plans = plans
        self.features: list[tuple[torch.Tensor, torch.Tensor]] = []  # pooled and dense of each crop

    @property
    def complete(self) -> bool:
        return len(self.features) == sum(len(plan.origins) for plan in self._plans)

    def describe(self) -> Description:
        of_each_crop = iter([dense for _, dense in self.features])
        maps = [
            F.normalize(plan.stitch(list(islice(of_each_crop, len(plan.origins)))), dim=0)
            for plan in self._plans
        ]
        finest = maps[-1].shape[1:]
        whole = [F.interpolate(one[None], finest, mode="bilinear", align_corners=False) for one in maps]
        return Description(
            pooled=torch.stack([pooled for pooled, _ in self.features]),
            dense=F.normalize(torch.cat(whole).mean(dim=0), dim=0),
        )


@torch.inference_mode()
def _encode(
    crops: Sequence[tuple[_Waiting, torch.Tensor]], encoder: ImageTextEncoder, batch_size: int
) -> None:
    """Encode up to ``batch_size`` crops and hand each photograph its features."""
    pixels = [crop for _, crop in crops]
    batch = torch.stack([*pixels, *[pixels[-1]] * (batch_size - len(pixels))])
    features = encoder.encode_image(batch)
    for (one, _), pooled, dense in zip(crops, features.pooled, features.dense, strict=False):
        one.features.append((pooled, dense))


@torch.inference_mode()
def _finished(waiting: deque[_Waiting | None]) -> list[Description | None]:
    """Remove the complete photographs from the front of the queue."""
    done: list[Description | None] = []
    while waiting and (waiting[0] is None or waiting[0].complete):
        one = waiting.popleft()
        done.append(None if one is None else one.describe())
    return done
