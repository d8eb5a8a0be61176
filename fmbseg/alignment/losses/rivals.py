"""What TSupCon is measured against: other losses of the same patches, labels and prototypes.

Each takes a :class:`~fmbseg.alignment.losses.inputs.Batch` that has a patch. All divide dot products by its
temperature; an option that a loss does not mention changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from fmbseg.alignment.losses.tsupcon import image_sum, others_logsumexp, text_logits, text_sum

if TYPE_CHECKING:
    from fmbseg.alignment.losses.inputs import Batch


def cross_entropy(batch: Batch) -> torch.Tensor:
    """Classify each patch among the prototypes: no patch is contrasted with another."""
    return functional.cross_entropy(text_logits(batch), batch.labels)


def supcon_cross_entropy(batch: Batch) -> torch.Tensor:
    """SupCon over the patches (Khosla et al. 2020, equation 2) plus cross-entropy to the prototypes.

    SupCon is the mean over the patches that have a positive, and a patch is never its own. Unlike in TSupCon,
    no patch is a wrong answer of the classification. ``text_weight`` multiplies the cross-entropy; None as 1.
    """
    weight = 1.0 if batch.options.text_weight is None else batch.options.text_weight
    others = replace(batch, options=replace(batch.options, exclude_self=True))
    return image_term(others) + weight * cross_entropy(batch)


def clip_contrast(batch: Batch) -> torch.Tensor:
    """CLIP's loss with a pair for each patch: the patch and the text of its class (Radford et al. 2021).

    InfoNCE in both directions, averaged: each patch among the texts of all pairs, and each text among the
    patches of all pairs. As in CLIP, other pairs of the same class are wrong answers, too, so with thousands
    of patches of few classes the loss cannot fall below the logarithms of the classes' sizes. Only classes in
    the batch have pairs. The pairs of a class share their text, so the matrix of all pairs is not formed.
    """
    logits = text_logits(batch)
    own = logits.gather(1, batch.labels[:, None])[:, 0]
    among_texts = (logits + batch.counts.log()).logsumexp(dim=1)  # each text as often as it has a pair
    among_patches = logits.logsumexp(dim=0)[batch.labels]
    return ((among_texts + among_patches) / 2 - own).mean()


def text_term(batch: Batch) -> torch.Tensor:
    """TSupCon's text term alone: the mean of equation 2 over the classes in the batch."""
    log_others = others_logsumexp(batch.patches, batch.options.temperature)
    return text_sum(batch, log_others) / torch.count_nonzero(batch.counts)


def image_term(batch: Batch) -> torch.Tensor:
    """TSupCon's image term alone: the mean of equation 4 over the patches; no text is learned.

    With ``exclude_self`` it is SupCon: the mean over the patches that have another of their class.
    """
    log_others = others_logsumexp(batch.patches, batch.options.temperature)
    counted = (batch.class_sizes > 1 if batch.options.exclude_self else batch.class_sizes > 0).sum()
    return image_sum(batch, log_others) / counted.clamp(min=1)
