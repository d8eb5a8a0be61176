"""Classes whose words are near everything, and so win where they do not belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 10


def hubness_of(
    prototypes: torch.Tensor, reference: torch.Tensor, neighbours: int = NEIGHBOURS
) -> torch.Tensor:
    """How near each class lies to everything: its mean similarity to the nearest reference texts.

    A class near many texts is also near many images, and wins crops that do not show it. Subtracting this
    is cross-domain similarity local scaling (Conneau et al. 2018, arXiv 1710.04087, §2.3).

    Args:
        prototypes: one unit vector per class, (K, D).
        reference: unit vectors of other texts, (R, D).
        neighbours: how many of the nearest are averaged, at most R.

    Returns:
        (K,), -1 to 1.

    Example:
        >>> import torch
        >>> hubness_of(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), neighbours=2)
        tensor([0.5000])
    """
    similarity = prototypes @ reference.T
    return similarity.topk(min(neighbours, len(reference)), dim=1).values.mean(dim=1)
