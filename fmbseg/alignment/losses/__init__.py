"""Losses that a head is trained with: TSupCon of the paper, and its rivals by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.alignment.losses.inputs import AS_PRINTED, LossOptions, labelled_batch
from fmbseg.alignment.losses.rivals import (
    clip_contrast,
    cross_entropy,
    image_term,
    supcon_cross_entropy,
    text_term,
)
from fmbseg.alignment.losses.tsupcon import tsupcon, tsupcon_of
from fmbseg.alignment.losses.tsupcon_clear import tsupcon_clear
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from fmbseg.alignment.losses.inputs import Batch

__all__ = ["LOSSES", "LossOptions", "alignment_loss", "tsupcon", "tsupcon_clear"]

LOSSES: dict[str, Callable[[Batch], torch.Tensor]] = {
    "tsupcon": tsupcon_of,
    "cross_entropy": cross_entropy,
    "supcon_cross_entropy": supcon_cross_entropy,
    "clip": clip_contrast,
    "text": text_term,
    "image": image_term,
}
"""Every loss by the name that ``TrainingSettings.loss`` takes."""


def alignment_loss(
    name: str,
    patches: torch.Tensor,
    labels: torch.Tensor,
    prototypes: torch.Tensor,
    options: LossOptions = AS_PRINTED,
) -> torch.Tensor:
    """Compute the loss of a name: TSupCon, or one of :mod:`~fmbseg.alignment.losses.rivals`.

    Args:
        name: of :data:`LOSSES`.
        patches: unit vectors, (N, D), floating point.
        labels: class of each patch, 0 to K - 1 or ``ignore_index``, (N,), integers.
        prototypes: unit vectors of the classes' texts, (K, D).
        options: temperature and what else the paper leaves open; as printed if not given.

    Returns:
        The loss, a scalar; without any labelled patch 0, with gradient 0.

    Raises:
        UnknownNameError: there is no such loss.
        ValueError: for shapes that do not fit, or labels out of range.

    Example:
        >>> import torch
        >>> loss = alignment_loss("cross_entropy", torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
        >>> torch.allclose(loss, torch.tensor(1 + 1 / torch.e).log())
        True
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    batch = labelled_batch(patches, labels, prototypes, options)
    return LOSSES[name](batch) if len(batch.labels) else batch.nothing
