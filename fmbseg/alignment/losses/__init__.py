"""Losses that a head is trained with: TSupCon of the paper, and its rivals by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.alignment.losses.blocked import tsupcon, tsupcon_of
from fmbseg.alignment.losses.clear import tsupcon_clear
from fmbseg.alignment.losses.inputs import labelled_batch
from fmbseg.alignment.losses.rivals import (
    clip_contrast,
    cross_entropy,
    image_term,
    supcon_cross_entropy,
    text_term,
)
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from fmbseg.alignment.losses.inputs import Batch
    from fmbseg.alignment.settings import Classes

__all__ = ["LOSSES", "alignment_loss", "tsupcon", "tsupcon_clear"]

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
    *,
    temperature: float = 1.0,
    ignore_index: int = -1,
    exclude_self: bool = False,
    text_weight: float | None = None,
    classes: Classes = "dataset",
) -> torch.Tensor:
    """Compute the loss of a name: :func:`tsupcon`, or one of :mod:`~fmbseg.alignment.losses.rivals`.

    Args:
        name: of :data:`LOSSES`.
        patches: as all that follow, see :func:`tsupcon`. An option that a rival has no use for changes
            nothing: which it has is said where it is defined.
        labels: of the patches.
        prototypes: of the classes.
        temperature: divides every dot product.
        ignore_index: label of patches that have no class.
        exclude_self: whether a patch is no positive of itself.
        text_weight: of the texts against the patches.
        classes: whose prototypes are wrong answers.

    Returns:
        The loss, a scalar; without any labelled patch 0, with gradient 0.

    Raises:
        UnknownNameError: there is no such loss.
        ValueError: see :func:`tsupcon`.

    Example:
        >>> import torch
        >>> loss = alignment_loss("cross_entropy", torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
        >>> torch.allclose(loss, torch.tensor(1 + 1 / torch.e).log())
        True
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    batch = labelled_batch(
        patches,
        labels,
        prototypes,
        temperature=temperature,
        ignore_index=ignore_index,
        exclude_self=exclude_self,
        text_weight=text_weight,
        classes=classes,
    )
    return LOSSES[name](batch) if len(batch.labels) else batch.nothing
