"""Class maps snapped to masks: every mask takes the class that most of its pixels have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet


def snap_to_masks(
    labels: NDArray[np.int32], scores: NDArray[np.float32], masks: MaskSet, min_share: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give each mask its majority class, large masks first, so that a mask within another keeps its own.

    Majorities are counted in the map as it was, and pixels without a class have no vote.

    Args:
        labels: (H, W), -1 for no class.
        scores: (H, W).
        masks: of the same image.
        min_share: part of a mask's pixels that the majority must have; else the mask changes nothing.

    Returns:
        New labels and scores; a pixel that changed class has the mean score that its new class had in the
        mask.

    Raises:
        ValueError: masks of another size than the labels.

    Example:
        >>> from fmbseg.masks import MaskSet
        >>> whole = MaskSet.from_masks(np.ones((1, 1, 3), bool))
        >>> snap_to_masks(np.array([[1, 1, 0]]), np.ones((1, 3), np.float32), whole, 0.5)[0].tolist()
        [[1, 1, 1]]
    """
    if masks.size != labels.shape:
        raise ValueError(f"the masks are of an image of {masks.size}, the class map is {labels.shape}")
    snapped, given = labels.copy(), scores.copy()
    for position in np.argsort(-masks.areas, kind="stable"):
        inside = masks.decode(int(position))
        votes = labels[inside]
        counts = np.bincount(votes[votes >= 0])
        if not counts.size or counts.max() < min_share * votes.size:
            continue
        winner = int(counts.argmax())
        change = inside & (labels != winner)
        given[inside] = scores[inside]  # what a larger mask put here is undone
        given[change] = scores[inside & (labels == winner)].mean()
        snapped[inside] = winner
    return snapped, given
