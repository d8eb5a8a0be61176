"""What every loss is given, checked at the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from fmbseg.alignment.sending import sent
from fmbseg.alignment.settings import Classes

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LossOptions:
    """What a loss may be told beside its vectors and labels; the defaults are as the paper prints TSupCon.

    An option that a rival has no use for changes nothing: which it has is said where it is defined.

    Args:
        temperature: divides every dot product.
        ignore_index: label of patches that have no class.
        exclude_self: leave ``l = i`` out of the sum of equation 4: a patch is not a positive of itself.
        text_weight: weight of the texts against the patches, each averaged; None is the printed form.
        classes: whose prototypes are wrong answers: of the whole ``"dataset"``, which is the printed form
            (the prototypes then are those of all classes detected in it), or of those in the ``"batch"``.

    Raises:
        ValueError: a temperature or weight that is not positive, or another word for ``classes``.
    """

    temperature: float = 1.0
    ignore_index: int = -1
    exclude_self: bool = False
    text_weight: float | None = None
    classes: Classes = "dataset"

    def __post_init__(self) -> None:
        for name in ("temperature", "text_weight"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}: it must be a positive number")
        if self.classes not in get_args(Classes):
            choices = ", ".join(map(repr, get_args(Classes)))
            raise ValueError(f"classes is {self.classes!r}: it must be one of {choices}")


AS_PRINTED = LossOptions()


@dataclass(frozen=True)
class Batch:
    """Labelled patches, the prototypes that count, and the options of the loss.

    Attributes:
        patches: (M, D), none of them unlabelled.
        labels: class of each, 0 to K - 1, (M,).
        prototypes: (K, D).
        counts: patches of each class, (K,), of the dtype of ``patches``.
        options: of the loss.
    """

    patches: torch.Tensor
    labels: torch.Tensor
    prototypes: torch.Tensor
    counts: torch.Tensor
    options: LossOptions

    @classmethod
    def of(
        cls,
        patches: torch.Tensor,
        labels: NDArray[np.int64],
        prototypes: torch.Tensor,
        options: LossOptions,
    ) -> Batch:
        """Make a batch of patches that all have a class.

        Labels are counted in the processor's memory, where nothing has to be waited for.

        Args:
            patches: (M, D).
            labels: class of each, 0 to K - 1, (M,).
            prototypes: (K, D).
            options: of the loss.
        """
        counts = np.bincount(labels, minlength=len(prototypes))
        if options.classes == "batch":
            present = counts > 0
            prototypes = prototypes.index_select(0, sent(np.flatnonzero(present), prototypes.device))
            labels, counts = (present.cumsum() - 1)[labels], counts[present]
        of_classes = sent(counts, patches.device).to(patches.dtype)
        return cls(patches, sent(labels, patches.device), prototypes, of_classes, options)

    @property
    def nothing(self) -> torch.Tensor:
        """Zero, connected to the graph, with gradient 0."""
        return self.patches.sum() * 0.0 + self.prototypes.sum() * 0.0

    @property
    def class_sizes(self) -> torch.Tensor:
        """How many patches the class of each patch has, (M,)."""
        return self.counts[self.labels]

    @property
    def text_factor(self) -> float | torch.Tensor:
        """What TSupCon's sum over classes is multiplied by: with a weight of 1, both means weigh alike."""
        weight = self.options.text_weight
        return 1.0 if weight is None else weight * len(self.labels) / self.counts.count_nonzero()


def labelled_batch(
    patches: torch.Tensor, labels: torch.Tensor, prototypes: torch.Tensor, options: LossOptions
) -> Batch:
    """Check what a loss is given and leave out what does not count.

    Args:
        patches: (N, D), floating point.
        labels: class of each patch or ``ignore_index``, (N,), integers.
        prototypes: (K, D).
        options: of the loss.

    Raises:
        ValueError: for shapes that do not fit, or labels out of range.
    """
    _check_vectors(patches, labels, prototypes)
    classes = labels.long().cpu().numpy()
    labelled = classes != options.ignore_index
    wrong = classes[labelled & ((classes < 0) | (classes >= len(prototypes)))]
    if len(wrong):
        raise ValueError(
            f"label {wrong[0]} is neither ignore_index ({options.ignore_index}) nor a class: "
            f"there are {len(prototypes)} prototypes, so classes are 0 to {len(prototypes) - 1}"
        )
    if not labelled.all():  # else the copy, as large as the patches, is saved
        rows = np.flatnonzero(labelled)
        patches, classes = patches.index_select(0, sent(rows, patches.device)), classes[rows]
    return Batch.of(patches, classes, prototypes, options)


def _check_vectors(patches: torch.Tensor, labels: torch.Tensor, prototypes: torch.Tensor) -> None:
    if patches.ndim != 2 or prototypes.ndim != 2 or patches.shape[1] != prototypes.shape[1]:
        raise ValueError(
            f"patches {tuple(patches.shape)} and prototypes {tuple(prototypes.shape)} must be (N, D) and "
            "(K, D) with the same D"
        )
    if labels.shape != patches.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels must be {len(patches)} integers, one a patch; got {labels.dtype} {tuple(labels.shape)}"
        )
