"""What the image-text model says of a photograph: one vector a crop, and a dense map of the whole.

Paper §3.2: the image is over-sampled, cut into C sliding crops, each goes through CLIP, and the patch
features are put together again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
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


@torch.inference_mode()
def describe(image: NDArray[np.uint8], encoder: ImageTextEncoder, settings: LabelingSettings) -> Description:
    """Encode the crops of a photograph and stitch their dense features, overlaps and scales averaged.

    Args:
        image: RGB, (H, W, 3).
        encoder: of images and texts.
        settings: ``short_side``, ``scales``, ``crop_overlap`` and ``batch_size`` are used.
    """
    sides = [round(scale * settings.short_side) for scale in settings.scales]
    parts = [_describe(image, encoder, settings, side) for side in sides]
    finest = parts[-1].dense.shape[1:]
    maps = [F.interpolate(one.dense[None], finest, mode="bilinear", align_corners=False) for one in parts]
    return Description(
        pooled=torch.cat([one.pooled for one in parts]), dense=F.normalize(torch.cat(maps).mean(dim=0), dim=0)
    )


def _describe(
    image: NDArray[np.uint8], encoder: ImageTextEncoder, settings: LabelingSettings, short_side: int
) -> Description:
    """Describe a photograph at one scale."""
    plan = WindowPlan.cover(
        (image.shape[0], image.shape[1]),
        short_side=short_side,
        window=encoder.crop_size,
        step=round(encoder.crop_size * (1 - settings.crop_overlap)),
        stride=encoder.stride,
        pad_to=encoder.crop_size,
    )
    crops = plan.cut(encoder.transform(image, plan.image_size))
    batches = [
        crops[start : start + settings.batch_size] for start in range(0, len(crops), settings.batch_size)
    ]
    encoded = [encoder.encode_image(torch.stack(batch)) for batch in batches]
    dense = plan.stitch([one for features in encoded for one in features.dense])
    return Description(
        pooled=torch.cat([features.pooled for features in encoded]), dense=F.normalize(dense, dim=0)
    )
