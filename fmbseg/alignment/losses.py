"""TSupCon: text-supervised contrastive loss over image patches (Seifi et al. 2024, section 3.3)."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

# A block of rows of the patch-to-patch similarities is what lives in memory at once: 1,024 rows by the
# 5,000 patches of five photographs are 20 MB in float32, where the whole matrix and its gradient are 200 MB.
_ROWS_PER_BLOCK = 1024


def tsupcon(
    patches: torch.Tensor,
    labels: torch.Tensor,
    prototypes: torch.Tensor,
    *,
    temperature: float = 1.0,
    ignore_index: int = -1,
    exclude_self: bool = False,
    text_weight: float | None = None,
) -> torch.Tensor:
    r"""Pull patches to their class's text and to one another, as equations 1 to 4 of the paper print it.

    With the labelled patches ``z_i`` (``M`` of them, the paper's ``BN``), their classes ``y_i``, the text
    prototypes ``t_k`` (``K`` of them), ``N_k`` patches of class ``k``, and every dot product over
    ``temperature``::

        L        = 1 / (M + K) * ( sum_k l_t(t_k) + sum_i l_im(z_i) )                                      (1)
        l_t(t_k) = 1 / N_k * sum_{i: y_i = k} l_t(z_i, t_k)                                                (2)
        l_t(z_i, t_{y_i}) = -z_i.t_{y_i} + log( sum_k exp(z_i.t_k) + sum_{j != i} exp(z_i.z_j) )           (3)
        l_im(z_i) = 1 / N_{y_i} * sum_{l: y_l = y_i} ( -z_i.z_l + log sum_{j != i} exp(z_i.z_j) )          (4)

    What the paper leaves open is settled as follows.

    - Patches labelled ``ignore_index`` are dropped everywhere: from the sums, the denominators and ``M``.
    - A class without a patch in the batch has no term (2), but its prototype stays in the denominator of (3)
      and in ``K``, for it is a wrong answer like any other.
    - The sum of (4) counts ``l = i`` as printed. ``exclude_self=True`` leaves it out and divides by
      ``N_{y_i} - 1``, as SupCon does (Khosla et al. 2020).
    - A class of one patch: its (4) is ``-z_i.z_i + log(...)`` as printed, and 0 with ``exclude_self=True``.
    - A batch of one patch: the sum inside the logarithm of (4) is empty, and (4) counts as 0.
    - As printed, (1) adds a term for each class to one for each patch, so with thousands of patches the texts
      are a few per cent of the loss, and clusters of patches form before they find their text.
      ``text_weight=w`` multiplies the sum over k by ``w * M / (number of classes in the batch)``: with 1, the
      mean over classes of (2) weighs as much as the mean over patches of (4).
    - Without any labelled patch the loss is 0, connected to the graph, with gradient 0.

    Vectors are taken as they are: give unit vectors. Memory grows with ``M``, not with its square.

    Args:
        patches: unit vectors, (N, D), floating point.
        labels: class of each patch, 0 to K - 1 or ``ignore_index``, (N,), integers.
        prototypes: unit vectors of the classes' texts, (K, D).
        temperature: divides every dot product; 1 is the printed form.
        ignore_index: label of patches that have no class.
        exclude_self: leave ``l = i`` out of the sum of equation 4.
        text_weight: weight of the texts against the patches, each averaged; None is the printed form.

    Returns:
        The loss, a scalar of the dtype of ``patches``.

    Raises:
        ValueError: for shapes that do not fit, labels out of range, or a temperature or weight that is not
            positive.

    Example:
        Two patches on the two prototypes of an orthogonal pair: (3) is ``-1 + log(e + 2)`` and (4) is
        ``-1 + log(1)`` for both, so the loss is ``(2 log(e + 2) - 4) / 4``.

        >>> import math, torch
        >>> loss = tsupcon(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
        >>> math.isclose(loss.item(), (2 * math.log(math.e + 2) - 4) / 4, rel_tol=1e-6)
        True
    """
    _check_vectors(patches, labels, prototypes, ignore_index)
    _check_positive("temperature", temperature)
    _check_positive("text_weight", 1.0 if text_weight is None else text_weight)
    labelled = labels != ignore_index
    patches, labels = patches[labelled], labels[labelled].long()
    count, classes = len(patches), len(prototypes)
    if count == 0:
        return patches.sum() * 0.0 + prototypes.sum() * 0.0

    counts = torch.bincount(labels, minlength=classes)
    per_class = counts.to(patches.dtype)[labels]
    log_patches, log_all = _log_denominators(patches, prototypes, temperature)

    # index_select and not prototypes[labels]: on a CPU, the gradient of the latter adds in an order that
    # changes from run to run.
    to_text = (patches * prototypes.index_select(0, labels)).sum(dim=1) / temperature
    text_term = ((log_all - to_text) / per_class).sum()
    if text_weight is not None:
        text_term = text_term * (text_weight * count / torch.count_nonzero(counts))

    # The mean over l of z_i.z_l is z_i times the mean of its class, so no pair has to be formed for it.
    class_sums = torch.zeros_like(prototypes, dtype=patches.dtype).index_add(0, labels, patches)
    to_class = (patches * class_sums.index_select(0, labels)).sum(dim=1)
    positives = per_class
    if exclude_self:
        to_class = to_class - (patches * patches).sum(dim=1)
        positives = per_class - 1
    image_terms = log_patches - to_class / (temperature * positives.clamp(min=1))
    counted = (positives > 0) & (count > 1)
    image_term = image_terms.masked_fill(~counted, 0.0).sum()
    return (text_term + image_term) / (count + classes)


def _log_denominators(
    patches: torch.Tensor, prototypes: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each patch, the logarithms of the denominators of equations 4 and 3, each (M,)."""
    count = len(patches)
    to_patches, to_all = [], []
    for start in range(0, count, _ROWS_PER_BLOCK):
        block = (start, patches, prototypes, temperature)
        if count > _ROWS_PER_BLOCK and torch.is_grad_enabled():
            # The block's similarities are formed again in the backward pass instead of being kept.
            over_patches, over_all = checkpoint(_block_denominators, *block, use_reentrant=False)
        else:
            over_patches, over_all = _block_denominators(*block)
        to_patches.append(over_patches)
        to_all.append(over_all)
    return torch.cat(to_patches), torch.cat(to_all)


def _block_denominators(
    start: int, patches: torch.Tensor, prototypes: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = patches[start : start + _ROWS_PER_BLOCK]
    over_texts = (rows @ prototypes.T / temperature).logsumexp(dim=1)
    if len(patches) == 1:  # no other patch: an empty sum, whose logarithm would poison the gradient
        return torch.zeros_like(over_texts), over_texts
    similarities = rows @ patches.T / temperature
    itself = torch.zeros_like(similarities, dtype=torch.bool)
    itself.diagonal(offset=start).fill_(True)
    over_patches = similarities.masked_fill(itself, -torch.inf).logsumexp(dim=1)
    return over_patches, torch.logaddexp(over_patches, over_texts)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive; got {value}")


def _check_vectors(
    patches: torch.Tensor, labels: torch.Tensor, prototypes: torch.Tensor, ignore_index: int
) -> None:
    if patches.ndim != 2 or prototypes.ndim != 2 or patches.shape[1] != prototypes.shape[1]:
        raise ValueError(
            f"patches {tuple(patches.shape)} and prototypes {tuple(prototypes.shape)} must be (N, D) and "
            "(K, D) with the same D"
        )
    if labels.shape != patches.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels must be {len(patches)} integers, one a patch; got {labels.dtype} {tuple(labels.shape)}"
        )
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= len(prototypes)))
    if wrong.any():
        raise ValueError(
            f"label {int(labels[wrong][0])} is neither ignore_index ({ignore_index}) nor a class: "
            f"there are {len(prototypes)} prototypes, so classes are 0 to {len(prototypes) - 1}"
        )
