"""TSupCon with the matrix of all pairs of patches, as its equations are printed."""

from __future__ import annotations

import torch

from fmbseg.alignment.losses.inputs import AS_PRINTED, Batch, LossOptions, labelled_batch


def tsupcon_clear(
    patches: torch.Tensor,
    labels: torch.Tensor,
    prototypes: torch.Tensor,
    options: LossOptions = AS_PRINTED,
) -> torch.Tensor:
    """Compute TSupCon with whole matrices, to be read beside its equations.

    Value, gradient, arguments and errors are those of :func:`~fmbseg.alignment.losses.tsupcon.tsupcon`;
    memory grows with the square of the patches.

    Example:
        >>> from fmbseg.alignment.losses import tsupcon
        >>> vectors = torch.nn.functional.normalize(torch.randn(7, 5, dtype=torch.float64), dim=1)
        >>> labels, prototypes = torch.tensor([0, 1, 1, -1]), vectors[4:]
        >>> torch.allclose(
        ...     tsupcon_clear(vectors[:4], labels, prototypes), tsupcon(vectors[:4], labels, prototypes)
        ... )
        True
    """
    batch = labelled_batch(patches, labels, prototypes, options)
    return _equation_1(batch) if len(batch.labels) else batch.nothing


def _equation_1(batch: Batch) -> torch.Tensor:
    count = len(batch.labels)
    scaled = batch.patches / batch.options.temperature
    to_patches, to_texts = scaled @ batch.patches.T, scaled @ batch.prototypes.T
    itself = torch.eye(count, dtype=torch.bool, device=to_patches.device)
    log_others = to_patches.masked_fill(itself, -torch.inf).logsumexp(dim=1)
    log_all = torch.logaddexp(to_texts.logsumexp(dim=1), log_others)

    to_own_text = to_texts.gather(1, batch.labels[:, None])[:, 0]
    text_terms = log_all - to_own_text  # equation 3
    text_sum = (text_terms / batch.class_sizes).sum()  # of equation 2 over k

    positive = batch.labels[:, None] == batch.labels
    if batch.options.exclude_self:
        positive &= ~itself
    positives = positive.sum(dim=1)
    to_positives = to_patches.masked_fill(~positive, 0.0).sum(dim=1) / positives.clamp(min=1)
    image_terms = log_others - to_positives  # equation 4
    counted = (positives > 0) & (count > 1)
    image_sum = image_terms.masked_fill(~counted, 0.0).sum()
    return (batch.text_factor * text_sum + image_sum) / (count + len(batch.prototypes))
