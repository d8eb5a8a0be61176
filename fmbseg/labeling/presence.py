"""Which classes of the vocabulary are in a photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fmbseg.certainty import CertaintyCurve
    from fmbseg.labeling.classes import Classes


def likely_classes(
    pooled: torch.Tensor, classes: Classes, curve: CertaintyCurve, least: float
) -> tuple[int, ...]:
    """Find the classes that are likely enough to be in a photograph, by their highest score in any crop.

    Args:
        pooled: one unit vector a crop, (C, D).
        classes: the K classes.
        curve: how likely a class is present by that score.
        least: how likely a class must be at least, 0 to 1.

    Example:
        >>> from fmbseg.certainty import CertaintyCurve
        >>> from fmbseg.labeling.classes import Classes
        >>> crops = torch.tensor([[1.0, 0.0], [0.9, 0.3]])
        >>> likely_classes(crops, Classes.plain(torch.eye(2)), CertaintyCurve((0, 1), (0, 1)), 0.5)
        (0,)
    """
    best = classes.scores(pooled).amax(dim=0).cpu().numpy()
    return tuple(int(index) for index in (curve.of(best) >= least).nonzero()[0])


def detect_classes(
    pooled: torch.Tensor, classes: Classes, *, min_crops: int = 2, min_similarity: float = -1.0
) -> tuple[int, ...]:
    """Let every crop choose the class of its highest score; a class is present if enough crops chose it.

    Paper §3.2: present if assigned to "more than" 1 crop, which is ``min_crops=2``.

    Args:
        pooled: one unit vector a crop, (C, D).
        classes: the K classes.
        min_crops: least crops that must choose a class; all of them where there are fewer crops.
        min_similarity: a crop has no vote if its class is less similar to it than this, -1 to 1. Not in the
            paper; it keeps crops that show none of the classes from naming one.

    Returns:
        Indices of the classes present, ascending; none where no class was chosen often enough.

    Example:
        >>> from fmbseg.labeling.classes import Classes
        >>> crops = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> classes = Classes.plain(torch.eye(2))
        >>> detect_classes(crops, classes), detect_classes(crops, classes, min_crops=1)
        ((0,), (0, 1))
    """
    choice = classes.scores(pooled).argmax(dim=1)
    similarity = (pooled * classes.prototypes[choice]).sum(dim=1)
    votes = torch.bincount(choice[similarity >= min_similarity], minlength=len(classes.prototypes))
    return tuple(torch.nonzero(votes >= min(min_crops, len(pooled))).flatten().tolist())
