"""Which classes of the vocabulary are in a photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.labeling.classes import Classes
    from fmbseg.labeling.settings import LabelingSettings


class Present(NamedTuple):
    """The classes of a photograph.

    Attributes:
        detected: their indices, ascending.
        likely: how likely each of them is in the photograph, 0 to 1; NaN where that is not known.
    """

    detected: tuple[int, ...]
    likely: NDArray[np.float32]

    @classmethod
    def known(cls, detected: tuple[int, ...]) -> Present:
        """Classes that a person says are there."""
        return cls(detected, np.ones(len(detected), np.float32))


def find_classes(pooled: torch.Tensor, classes: Classes, settings: LabelingSettings) -> Present:
    """Find the classes of a photograph: those that crops vote for, and those that are certain.

    Args:
        pooled: one unit vector a crop, (C, D).
        classes: the K classes.
        settings: whose ``presence_curve`` tells how likely a class is there by its highest score in any crop.

    Example:
        >>> from fmbseg.certainty import CertaintyCurve
        >>> from fmbseg.labeling.classes import Classes
        >>> from fmbseg.labeling.settings import LabelingSettings
        >>> crops = torch.tensor([[1.0, 0.0], [0.9, 0.3]])
        >>> told = LabelingSettings(presence_curve=CertaintyCurve((0, 1), (0, 1)))
        >>> find_classes(crops, Classes.plain(torch.eye(2)), told)
        Present(detected=(0,), likely=array([1.], dtype=float32))
    """
    detected = detect_classes(
        pooled, classes, min_crops=settings.min_crops, min_similarity=settings.min_crop_similarity
    )
    if settings.presence_curve is None:
        return Present(detected, np.full(len(detected), np.nan, np.float32))
    likely = settings.presence_curve.of(classes.scores(pooled).amax(dim=0).cpu().numpy())
    return Present(detected, likely[list(detected)])


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
