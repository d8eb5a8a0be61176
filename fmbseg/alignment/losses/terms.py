"""The sums that TSupCon and its rivals are made of, in memory that grows with the patches alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fmbseg.alignment.losses.inputs import Batch


def text_logits(batch: Batch) -> torch.Tensor:
    """Similarity of each patch to each prototype over the temperature, (M, K)."""
    return torch.mm(batch.patches, batch.prototypes.T) / batch.temperature


def text_sum(batch: Batch, log_others: torch.Tensor) -> torch.Tensor:
    """The sum of equation 2 over the classes in the batch; a scalar.

    Args:
        batch: of M patches.
        log_others: of :func:`~fmbseg.alignment.losses.pairs.others_logsumexp`, (M,).
    """
    logits = text_logits(batch)
    own = logits.gather(1, batch.labels[:, None])[:, 0]
    return ((torch.logaddexp(logits.logsumexp(dim=1), log_others) - own) / batch.class_sizes).sum()


def image_sum(batch: Batch, log_others: torch.Tensor) -> torch.Tensor:
    """The sum of equation 4 over the patches; a scalar.

    No pair is formed for the positives: with ``s_k`` the sum of the patches of class k, the similarities
    ``z_i.z_l`` of a class sum to ``s_k.s_k``.

    Args:
        batch: of M patches.
        log_others: of :func:`~fmbseg.alignment.losses.pairs.others_logsumexp`, (M,).
    """
    if len(batch.labels) == 1:  # no pair
        return batch.nothing
    sums = torch.zeros_like(batch.prototypes, dtype=batch.patches.dtype)
    sums = sums.index_add(0, batch.labels, batch.patches)
    to_positives = sums.square().sum(dim=1)
    positives = batch.counts
    if batch.exclude_self:
        itself = torch.linalg.vecdot(batch.patches, batch.patches)
        to_positives = to_positives - torch.zeros_like(positives).index_add(0, batch.labels, itself)
        positives = positives - 1
    counted = (positives > 0)[batch.labels]
    pulled = (to_positives / positives.clamp(min=1)).masked_fill(positives < 1, 0.0).sum()
    return log_others.masked_fill(~counted, 0.0).sum() - pulled / batch.temperature
