"""Measuring on pseudo labels that are not trained on, to see whether training still helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.objective import Objective
    from fmbseg.alignment.training_example import TrainingExample


class HeldOutScore(NamedTuple):
    """How well a head matches the pseudo labels of photographs that it was not trained on.

    Attributes:
        loss: mean over batches of the contrast, without the terms beside it.
        accuracy: share of the labelled patches whose most similar text is their class's.
        miou: mean over the classes that have a labelled patch there of the intersection over union.
    """

    loss: float
    accuracy: float
    miou: float


def validate(
    head: AlignmentHead, examples: Sequence[TrainingExample], objective: Objective
) -> HeldOutScore | None:
    """Measure a head on photographs that it is not trained on; None if there are none.

    Several processes share the batches.
    """
    if not examples:
        return None
    size, classes = objective.settings.batch_size, len(objective.prototypes)
    batches = [examples[start : start + size] for start in range(0, len(examples), size)]
    loss = torch.zeros((), dtype=torch.float64)
    counts = torch.zeros(3, classes, dtype=torch.float64)  # right, labelled and found, of each class
    training = head.training
    head.eval()
    mine = objective.processes.share(batches)
    objective.expect(mine)
    for batch in mine:
        batch_loss, found, labels = objective.held_out(head, batch)
        loss += batch_loss
        for row, members in enumerate((labels[found == labels], labels, found)):
            counts[row] += torch.bincount(members.cpu(), minlength=classes)
    head.train(training)
    sums = objective.processes.sum(torch.cat([loss[None], counts.flatten()]).to(objective.prototypes.device))
    right, labelled, found = sums[1:].view(3, classes).cpu()
    there = labelled > 0
    iou = right[there] / (labelled + found - right)[there]
    return HeldOutScore(float(sums[0]) / len(batches), float(right.sum() / labelled.sum()), float(iou.mean()))
