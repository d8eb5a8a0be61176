"""What no mask covers, as one mask for each class that the dense map sees there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labeling.classes import Classes


class Remainder(NamedTuple):
    """Masks of what other masks leave uncovered.

    Attributes:
        masks: one or two for each class seen there, in the order of the classes.
        class_ids: (N,) the class of each.
    """

    masks: MaskSet
    class_ids: NDArray[np.int32]


def remainder(
    masks: MaskSet,
    dense: torch.Tensor,
    classes: Classes,
    detected: Sequence[int],
    *,
    min_area: float,
    least_score: float = -math.inf,
) -> Remainder:
    """Give every pixel that no mask covers the detected class that the dense map scores highest there.

    A mask model leaves out what it is not sure of: texture, and things between other things. Nothing is known
    of the precision of these masks: their predicted IoU and stability are 0.

    Args:
        masks: of one image.
        dense: unit vectors of the stitched map, (D, h, w), which covers the image.
        classes: the K classes.
        detected: indices of the classes to choose from, at least one.
        min_area: fraction of the image that a class must have there at least.
        least_score: a class's pixels that score as much are a mask of their own if they have that area, so
            that they can be told from the others.
    """
    free = np.ones(masks.size, dtype=np.bool_)
    for index in range(len(masks)):
        free &= ~masks.decode(index)
    winner, score = _winners(dense, classes.of(detected), masks.size)
    sure, least_area = score >= least_score, max(1, min_area * free.size)
    found, ids = [], []
    for position, index in enumerate(detected):
        mask = free & (winner == position)
        if mask.sum() < least_area:
            continue
        apart = (mask & sure).sum() >= least_area and not sure[mask].all()
        for part in (mask & sure, mask & ~sure) if apart else (mask,):
            found.append(MaskSet.from_masks(part[None], [0.0], [0.0]))
            ids.append(index)
    return Remainder(
        MaskSet.concat(found) if found else MaskSet.empty(masks.size), np.asarray(ids, dtype=np.int32)
    )


def _winners(
    dense: torch.Tensor, classes: Classes, size: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The class of highest score of each pixel (H, W), and that score; one map at a time is at full size."""
    scores = classes.scores(dense.movedim(0, -1)).movedim(-1, 0)
    best = scores.new_full(size, -float("inf"))
    winner = np.zeros(size, dtype=np.int32)
    for position, score in enumerate(scores):
        whole = F.interpolate(score[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        winner[(whole > best).cpu().numpy()] = position
        best = torch.maximum(best, whole)
    return winner, best.float().cpu().numpy()
