"""What a batch of photographs is trained for: a contrast of labelled patches, and terms over all patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch.nn import functional

from fmbseg.alignment.distributed import Processes
from fmbseg.alignment.losses import LOSSES, LossOptions
from fmbseg.alignment.losses.inputs import Batch
from fmbseg.alignment.sending import sent
from fmbseg.models.loading.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.distillation import OldVocabulary
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.alignment.training_example import TrainingExample

    Features = Callable[[TrainingExample], torch.Tensor]


class BatchLoss(NamedTuple):
    """The loss of one batch; nothing of it has been waited for.

    Attributes:
        value: to call ``backward`` on; its gradients, summed over processes, are those of the whole batch.
        reported: the loss of the whole batch, without gradient.
        patches: labelled patches that took part, of all processes.
    """

    value: torch.Tensor
    reported: torch.Tensor
    patches: torch.Tensor


Places = NDArray[np.int64] | None
"""The cells of a photograph that take part, in reading order; None for all."""


@runtime_checkable
class ReadsAhead(Protocol):
    """Features that can use the time until they are asked for."""

    def __call__(self, example: TrainingExample, /) -> torch.Tensor:
        """Those of an example."""
        ...

    def expect(self, batches: Sequence[Sequence[TrainingExample]]) -> None:
        """Take note of the batches whose features will be asked for next."""
        ...


@dataclass(frozen=True)
class Objective:
    """The loss of a training.

    Args:
        features: gives those of an example, (1, C, h, w), on the device of ``prototypes``.
        prototypes: unit vectors of the classes' texts, (K, D).
        settings: of the loss, the terms beside it, and the precision of the head.
        dense: the image-text model's map of an example, unit vectors (1, D, h, w), for ``dense_weight``.
        old: the words to retain, for ``distillation``.
        processes: those that a batch is spread over.
    """

    features: Features
    prototypes: torch.Tensor
    settings: TrainingSettings
    dense: Features | None = None
    old: OldVocabulary | None = None
    processes: Processes = field(default_factory=Processes)

    def expect(self, batches: Sequence[Sequence[TrainingExample]]) -> None:
        """Say which batches of this process come next, so that features that are not kept are read ahead."""
        for features in (self.features, self.dense):
            if isinstance(features, ReadsAhead):
                features.expect(batches)

    def batch(self, head: AlignmentHead, batch: Sequence[TrainingExample], epoch: int) -> BatchLoss:
        """The loss of this process's photographs of a batch, which may be none."""
        seed, most = self.settings.seed, self.settings.patches_per_image
        places = [example.drawn_places(most, seed, epoch) for example in batch]
        features = [self.features(example) for example in batch]
        vectors = self._aligned(head, features, places)
        labels = _joined(
            [
                example.drawn_labels(seed, epoch).ravel()[slice(None) if where is None else where]
                for example, where in zip(batch, places, strict=True)
            ]
        )
        loss, shared = self._contrast(vectors, labels)
        # Summed over the processes, both parts give the whole batch's. A loss that all of them compute whole
        # is divided for the report, but not for the gradient, which each has for its own patches alone.
        beside = self._beside(features, vectors, batch, places)
        reported = loss / self.processes.count + beside
        value = loss + beside if shared else reported
        patches = self._count(int((labels >= 0).sum()))
        return BatchLoss(value, self.processes.sum(reported), self.processes.sum(patches))

    @torch.no_grad()
    def held_out(
        self, head: AlignmentHead, batch: Sequence[TrainingExample]
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        """The contrast of photographs that are not trained on, all of whose labels count.

        Returns:
            The loss, the most similar class of each labelled patch, (M,), and its label, (M,).
        """
        vectors = self._aligned(head, [self.features(example) for example in batch], [None] * len(batch))
        labelled, classes = labelled_rows(vectors, _joined([example.labels.ravel() for example in batch]))
        loss = contrast(labelled, classes, self.prototypes, self.settings)
        found = (labelled @ self.prototypes.T).argmax(dim=1)
        return float(loss), found, sent(classes, found.device)

    def _aligned(
        self, head: AlignmentHead, features: Sequence[torch.Tensor], places: Sequence[Places]
    ) -> torch.Tensor:
        """The vectors of all patches that take part, (N, D), photograph after photograph.

        Photographs of one grid go through the head together.
        """
        if not head.attends:  # else to all patches, including those that do not take part
            features = [take(each, where) for each, where in zip(features, places, strict=True)]
        alike: dict[torch.Size, list[int]] = {}
        for index, each in enumerate(features):
            alike.setdefault(each.shape, []).append(index)
        found: dict[int, torch.Tensor] = {}
        with autocast(self.prototypes.device, self.settings.precision, training=True):
            for members in alike.values():
                maps = head(torch.cat([features[index] for index in members]))
                found.update(zip(members, maps.split(1), strict=True))
        if head.attends:
            found = {index: take(each, places[index]) for index, each in found.items()}
        vectors = [rearrange(found[index], "1 d h w -> (h w) d") for index in range(len(features))]
        return torch.cat([self.prototypes.new_zeros(0, self.prototypes.shape[1]), *vectors]).float()

    def _contrast(self, vectors: torch.Tensor, labels: NDArray[np.int64]) -> tuple[torch.Tensor, bool]:
        """The contrast of the labelled patches, and whether it covers those of all processes."""
        vectors, labels = labelled_rows(vectors, labels)
        shared = self.settings.gather and self.processes.count > 1
        if shared:
            vectors, classes = self.processes.gather(vectors, sent(labels, vectors.device))
            labels = classes.cpu().numpy()
        return contrast(vectors, labels, self.prototypes, self.settings), shared

    def _beside(
        self,
        features: Sequence[torch.Tensor],
        vectors: torch.Tensor,
        batch: Sequence[TrainingExample],
        places: Sequence[Places],
    ) -> torch.Tensor:
        """The terms beside the contrast: this process's share of the means over the batch's patches."""
        loss = self.prototypes.new_zeros(())
        patches = self.processes.sum(self._count(len(vectors))).clamp(min=1)
        if self.dense is not None and len(batch):
            targets = _rows([self.dense(each) for each in batch], places)
            far = (1 - (vectors * targets).sum(dim=1)).sum()
            loss = loss + self.settings.dense_weight * far / patches
        if self.settings.mask_weight or self.settings.mask_class_weight:
            loss = loss + self._to_masks(vectors, batch, places) / patches
        if self.old is not None:
            with torch.no_grad():
                old = self._aligned(self.old.head, features, places)
            loss = loss + self.settings.distillation * self.old.divergence(old, vectors) / patches
        return loss

    def _to_masks(
        self, vectors: torch.Tensor, batch: Sequence[TrainingExample], places: Sequence[Places]
    ) -> torch.Tensor:
        """The term that draws patches to the features of their masks, summed over patches within a mask."""
        settings, device = self.settings, vectors.device
        masked = [each.masks for each in batch]
        if not any(masked):
            return self.prototypes.new_zeros(())
        none = vectors.new_zeros(1, vectors.shape[1], 1, 1)
        targets = _rows(
            [
                none.expand(-1, -1, *each.labels.shape) if each.masks is None else each.masks.targets(device)
                for each in batch
            ],
            places,
        )
        inside = targets.any(dim=1)
        away = settings.mask_weight * (1 - (vectors * targets).sum(dim=1))
        wanted, found = (
            (each @ self.prototypes.T / settings.temperature).log_softmax(dim=1)
            for each in (targets, vectors)
        )
        divergence = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=1)
        return (away + settings.mask_class_weight * divergence).masked_fill(~inside, 0.0).sum()

    def _count(self, number: int) -> torch.Tensor:
        """A whole number where the device can go on with it."""
        return torch.full((), number, device=self.prototypes.device)


def contrast(
    vectors: torch.Tensor, labels: NDArray[np.int64], prototypes: torch.Tensor, settings: TrainingSettings
) -> torch.Tensor:
    """The loss that the settings name, for patches (M, D), all of which have a class (M,)."""
    options = LossOptions(
        temperature=settings.temperature,
        exclude_self=settings.exclude_self,
        text_weight=settings.text_weight,
        classes=settings.classes,
    )
    batch = Batch.of(vectors, labels, prototypes, options)
    return LOSSES[settings.loss](batch) if len(labels) else batch.nothing


def take(grid: torch.Tensor, places: Places) -> torch.Tensor:
    """The cells of a grid (1, C, h, w) at ``places`` in reading order, (1, C, 1, M); None takes all of them.

    Example:
        >>> take(torch.arange(6.0).view(1, 1, 2, 3), np.array([4, 0]))
        tensor([[[[4., 0.]]]])
    """
    if places is None:
        return grid
    return grid.flatten(2).index_select(2, sent(places, grid.device))[:, :, None]


def labelled_rows(vectors: torch.Tensor, labels: NDArray[np.int64]) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Of vectors (N, D), those of patches that have a label, (M, D), and these labels."""
    rows = np.flatnonzero(labels >= 0)
    if len(rows) == len(labels):
        return vectors, labels
    return vectors.index_select(0, sent(rows, vectors.device)), labels[rows]


def _rows(maps: Sequence[torch.Tensor], places: Sequence[Places]) -> torch.Tensor:
    """The cells of maps (1, D, h, w) that take part, (N, D)."""
    taken = [take(each, where) for each, where in zip(maps, places, strict=True)]
    return torch.cat([rearrange(each, "1 d h w -> (h w) d") for each in taken])


def _joined(labels: Sequence[NDArray[np.int16]]) -> NDArray[np.int64]:
    """Labels of several photographs, one after the other."""
    return np.concatenate([np.zeros(0, np.int64), *labels])
