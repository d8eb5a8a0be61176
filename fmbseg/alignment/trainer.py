"""The training loop: batches of photographs, TSupCon against frozen prototypes, one head that learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from einops import rearrange

from fmbseg.alignment.losses import alignment_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.examples import TrainingExample
    from fmbseg.alignment.settings import TrainingSettings

_NAMED = 5


class TrainingDivergedError(RuntimeError):
    """The loss or the weights are no longer finite; the message names the epoch, the batch and its images."""


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the photographs.

    Attributes:
        epoch: from 1.
        loss: mean over its batches.
        learning_rate: of its first batch.
        patches: labelled patches that were seen.
    """

    epoch: int
    loss: float
    learning_rate: float
    patches: int


class Step(NamedTuple):
    """One batch, as it is reported while training runs."""

    epoch: int
    images: int
    loss: float
    learning_rate: float


def train(
    head: AlignmentHead,
    examples: Sequence[TrainingExample],
    features: Callable[[TrainingExample], torch.Tensor],
    prototypes: torch.Tensor,
    settings: TrainingSettings,
    *,
    dense: Callable[[TrainingExample], torch.Tensor] | None = None,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[EpochRecord], None],
) -> None:
    """Train ``head`` in place.

    Photographs keep their aspect, so a batch has several sizes: each goes through the head by itself, and
    the labelled patches of all of them meet in the loss. Two runs on one CPU are bit-identical.

    Args:
        head: on the device of ``prototypes``.
        examples: photographs that have a labelled patch.
        features: of an example, (1, C, h, w), on the same device.
        prototypes: unit vectors of the classes' texts, (K, D).
        settings: epochs, batches, optimiser, loss and seed.
        dense: what the image-text model sees of an example, unit vectors (1, D, h, w), for ``dense_weight``.
        on_step: is told of each batch.
        on_epoch: is told of each pass.

    Raises:
        TrainingDivergedError: the loss, a gradient or a weight is not finite. The head then has the last
            weights whose loss and gradient were.
    """
    order = torch.Generator().manual_seed(settings.seed)
    batches = -(-len(examples) // settings.batch_size)
    optimizer = _optimizer(head, settings)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings.epochs * batches)
    good = _copy(head)
    head.train()
    for epoch in range(1, settings.epochs + 1):
        losses: list[float] = []
        patches, first_rate = 0, _rate(schedule)
        for number, batch in enumerate(_batches(examples, settings.batch_size, order), start=1):
            optimizer.zero_grad(set_to_none=True)
            maps = [head(features(example)) for example in batch]
            vectors, labels = _labelled_patches(maps, batch)
            loss = alignment_loss(
                settings.loss,
                vectors,
                labels,
                prototypes,
                temperature=settings.temperature,
                exclude_self=settings.exclude_self,
                text_weight=settings.text_weight,
                classes=settings.classes,
            )
            if dense is not None:
                loss = loss + settings.dense_weight * _distance(maps, [dense(example) for example in batch])
            torch.autograd.backward(loss)
            if not (bool(torch.isfinite(loss)) and _finite_gradients(head)):
                head.load_state_dict(good)
                raise _diverged(f"the loss is {loss.item()}", epoch, number, batch, settings)
            good = _copy(head)
            rate = _rate(schedule)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            patches += len(labels)
            on_step(Step(epoch, len(batch), losses[-1], rate))
        if not all(bool(torch.isfinite(weight).all()) for weight in head.parameters()):
            head.load_state_dict(good)
            raise _diverged("a weight is not finite after the step", epoch, number, batch, settings)
        on_epoch(EpochRecord(epoch, sum(losses) / len(losses), first_rate, patches))


def _batches(
    examples: Sequence[TrainingExample], batch_size: int, order: torch.Generator
) -> Iterator[list[TrainingExample]]:
    """All examples once, in a new order, the last batch as large as it turns out."""
    shuffled = torch.randperm(len(examples), generator=order).tolist()
    for start in range(0, len(shuffled), batch_size):
        yield [examples[index] for index in shuffled[start : start + batch_size]]


def _labelled_patches(
    maps: Sequence[torch.Tensor], batch: Sequence[TrainingExample]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors (M, D) and classes (M,) of the labelled patches of a batch's maps, each (1, D, h, w)."""
    vectors, labels = [], []
    for aligned, example in zip(maps, batch, strict=True):
        classes = torch.from_numpy(example.labels.ravel()).long()
        labelled = (classes >= 0).nonzero()[:, 0]
        grid = rearrange(aligned, "1 d h w -> (h w) d")
        vectors.append(grid.index_select(0, labelled.to(grid.device)))
        labels.append(classes[labelled].to(grid.device))
    return torch.cat(vectors), torch.cat(labels)


def _distance(maps: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> torch.Tensor:
    """One minus the cosine between two lists of maps of unit vectors, the mean over all patches."""
    cosines = [(one * other).sum(dim=1).flatten() for one, other in zip(maps, targets, strict=True)]
    return 1 - torch.cat(cosines).mean()


def _optimizer(head: AlignmentHead, settings: TrainingSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
    return torch.optim.SGD(head.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)


def _rate(schedule: torch.optim.lr_scheduler.LRScheduler) -> float:
    return float(schedule.get_last_lr()[0])


def _copy(head: AlignmentHead) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in head.state_dict().items()}


def _finite_gradients(head: AlignmentHead) -> bool:
    return all(weight.grad is None or bool(torch.isfinite(weight.grad).all()) for weight in head.parameters())


def _diverged(
    what: str, epoch: int, batch: int, examples: Sequence[TrainingExample], settings: TrainingSettings
) -> TrainingDivergedError:
    shown = ", ".join(str(example.path) for example in examples[:_NAMED])
    more = f" and {len(examples) - _NAMED} more" if len(examples) > _NAMED else ""
    return TrainingDivergedError(
        f"training stopped in epoch {epoch}, batch {batch}: {what} (images: {shown}{more}). "
        f"The head keeps its last good state. Lower the learning rate ({settings.learning_rate:g}) "
        f"or raise the temperature ({settings.temperature:g})"
    )
