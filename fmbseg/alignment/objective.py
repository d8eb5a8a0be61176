"""What a batch of photographs is trained for: a contrast of labelled patches, and terms over all patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from einops import rearrange
from torch.nn import functional

from fmbseg.alignment.distributed import Processes
from fmbseg.alignment.losses import LossOptions, alignment_loss
from fmbseg.models.loading.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.distillation import OldVocabulary
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.alignment.training_example import TrainingExample

    Features = Callable[[TrainingExample], torch.Tensor]


class BatchLoss(NamedTuple):
    """The loss of one batch.

    Attributes:
        value: to call ``backward`` on; its gradients, summed over processes, are those of the whole batch.
        reported: the loss of the whole batch, without gradient.
        patches: labelled patches that took part, of all processes.
    """

    value: torch.Tensor
    reported: torch.Tensor
    patches: int


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

    def batch(self, head: AlignmentHead, batch: Sequence[TrainingExample], epoch: int) -> BatchLoss:
        """The loss of this process's photographs of a batch, which may be none."""
        seed, most = self.settings.seed, self.settings.patches_per_image
        places = [example.drawn_places(most, seed, epoch) for example in batch]
        features = [self.features(example) for example in batch]
        maps = self._maps(head, features, places)
        labels = [
            take(torch.from_numpy(example.drawn_labels(seed, epoch))[None, None], where)[0, 0]
            for example, where in zip(batch, places, strict=True)
        ]
        loss, shared = self._contrast(maps, labels)
        # Summed over the processes, both parts give the whole batch's. A loss that all of them compute whole
        # is divided for the report, but not for the gradient, which each has for its own patches alone.
        beside = self._beside(features, maps, batch, places)
        reported = loss / self.processes.count + beside
        value = loss + beside if shared else reported
        patches = sum(int((each >= 0).sum()) for each in labels)
        return BatchLoss(
            value, self.processes.sum(reported), self.processes.total(patches, self.prototypes.device)
        )

    @torch.no_grad()
    def held_out(
        self, head: AlignmentHead, batch: Sequence[TrainingExample]
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        """The contrast of photographs that are not trained on, all of whose labels count.

        Returns:
            The loss, the most similar class of each labelled patch, (M,), and its label, (M,).
        """
        maps = self._maps(head, [self.features(example) for example in batch], [None] * len(batch))
        labels = [torch.from_numpy(example.labels) for example in batch]
        vectors, classes = labelled_patches(maps, labels, self.prototypes)
        loss = contrast(vectors, classes, self.prototypes, self.settings)
        return float(loss), (vectors @ self.prototypes.T).argmax(dim=1), classes

    def _maps(
        self,
        head: AlignmentHead,
        features: Sequence[torch.Tensor],
        places: Sequence[torch.Tensor | None],
    ) -> list[torch.Tensor]:
        """The aligned patches that take part. Photographs keep their aspect, so each goes in by itself."""
        with autocast(self.prototypes.device, self.settings.precision, training=True):
            if head.attends:  # to all patches, including those that do not take part
                aligned = [take(head(each), where) for each, where in zip(features, places, strict=True)]
            else:
                aligned = [head(take(each, where)) for each, where in zip(features, places, strict=True)]
        return [each.float() for each in aligned]

    def _contrast(
        self, maps: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, bool]:
        """The contrast of the labelled patches, and whether it covers those of all processes."""
        vectors, classes = labelled_patches(maps, labels, self.prototypes)
        shared = self.settings.gather and self.processes.count > 1
        if shared:
            vectors, classes = self.processes.gather(vectors, classes)
        return contrast(vectors, classes, self.prototypes, self.settings), shared

    def _beside(
        self,
        features: Sequence[torch.Tensor],
        maps: Sequence[torch.Tensor],
        batch: Sequence[TrainingExample],
        places: Sequence[torch.Tensor | None],
    ) -> torch.Tensor:
        """The terms beside the contrast: this process's share of the means over the batch's patches."""
        loss = self.prototypes.new_zeros(())
        cells = sum(each[0, 0].numel() for each in maps)
        patches = max(1, self.processes.total(cells, self.prototypes.device))
        if self.dense is not None:
            targets = [take(self.dense(each), where) for each, where in zip(batch, places, strict=True)]
            loss = loss + self.settings.dense_weight * _distance(maps, targets, loss) / patches
        if self.settings.mask_weight or self.settings.mask_class_weight:
            loss = loss + self._to_masks(maps, batch, places) / patches
        if self.old is not None:
            with torch.no_grad():
                old = self._maps(self.old.head, features, places)
            loss = loss + self.settings.distillation * self.old.divergence(old, maps) / patches
        return loss

    def _to_masks(
        self,
        maps: Sequence[torch.Tensor],
        batch: Sequence[TrainingExample],
        places: Sequence[torch.Tensor | None],
    ) -> torch.Tensor:
        """The term that draws patches to the features of their masks, summed over patches within a mask."""
        settings, total = self.settings, self.prototypes.new_zeros(())
        for aligned, example, where in zip(maps, batch, places, strict=True):
            if example.masks is None:
                continue
            targets = rearrange(take(example.masks.targets(aligned.device), where), "1 d h w -> (h w) d")
            inside = targets.any(dim=1).nonzero()[:, 0]
            targets = targets.index_select(0, inside)
            vectors = rearrange(aligned, "1 d h w -> (h w) d").index_select(0, inside)
            total = total + settings.mask_weight * (1 - (vectors * targets).sum(dim=1)).sum()
            wanted, found = (
                (each @ self.prototypes.T / settings.temperature).log_softmax(dim=1)
                for each in (targets, vectors)
            )
            divergence = functional.kl_div(found, wanted, reduction="sum", log_target=True)
            total = total + settings.mask_class_weight * divergence
        return total


def contrast(
    vectors: torch.Tensor, labels: torch.Tensor, prototypes: torch.Tensor, settings: TrainingSettings
) -> torch.Tensor:
    """The loss that the settings name, for labelled patches (M, D) with classes (M,)."""
    options = LossOptions(
        temperature=settings.temperature,
        exclude_self=settings.exclude_self,
        text_weight=settings.text_weight,
        classes=settings.classes,
    )
    return alignment_loss(settings.loss, vectors, labels, prototypes, options)


def take(grid: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
    """The cells of a grid (1, C, h, w) at ``places`` in reading order, (1, C, 1, M); None takes all of them.

    Example:
        >>> take(torch.arange(6.0).view(1, 1, 2, 3), torch.tensor([4, 0]))
        tensor([[[[4., 0.]]]])
    """
    if places is None:
        return grid
    return grid.flatten(2).index_select(2, places.to(grid.device))[:, :, None]


def labelled_patches(
    maps: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], prototypes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors (M, D) and classes (M,) of the labelled patches of maps (1, D, h, w), in the order of maps."""
    vectors = [prototypes.new_zeros(0, prototypes.shape[1])]
    classes = [torch.zeros(0, dtype=torch.long, device=prototypes.device)]
    for aligned, each in zip(maps, labels, strict=True):
        flat = each.flatten().long()
        labelled = (flat >= 0).nonzero()[:, 0]
        grid = rearrange(aligned, "1 d h w -> (h w) d")
        vectors.append(grid.index_select(0, labelled.to(grid.device)))
        classes.append(flat[labelled].to(grid.device))
    return torch.cat(vectors), torch.cat(classes)


def _distance(
    maps: Sequence[torch.Tensor], targets: Sequence[torch.Tensor], zero: torch.Tensor
) -> torch.Tensor:
    """One minus the cosine between two lists of maps of unit vectors, summed over all patches."""
    return sum(
        ((1 - (one * other).sum(dim=1)).sum() for one, other in zip(maps, targets, strict=True)), start=zero
    )
