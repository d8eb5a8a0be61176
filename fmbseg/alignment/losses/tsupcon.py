"""TSupCon: text-supervised contrastive loss over image patches (Seifi et al. 2024, section 3.3).

The sums that it and its rivals are made of take memory that grows with the patches, not with their square.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from fmbseg.alignment.losses.inputs import AS_PRINTED, Batch, LossOptions, labelled_batch
from fmbseg.alignment.losses.tiles import with_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator


def tsupcon(
    patches: torch.Tensor,
    labels: torch.Tensor,
    prototypes: torch.Tensor,
    options: LossOptions = AS_PRINTED,
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
      and in ``K``, for it is a wrong answer like any other. ``classes="batch"`` drops it from both: ``K``
      then is the number of classes in the batch.
    - The sum of (4) counts ``l = i`` as printed. ``exclude_self=True`` leaves it out and divides by
      ``N_{y_i} - 1``, as SupCon does (Khosla et al. 2020).
    - A class of one patch: its (4) is ``-z_i.z_i + log(...)`` as printed, and 0 with ``exclude_self=True``.
    - A batch of one patch: the sum inside the logarithm of (4) is empty, and (4) counts as 0.
    - As printed, (1) adds a term for each class to one for each patch, so the share of the texts is at most
      ``K / (M + K)``: 2.4 % with five photographs of 37 x 37 patches and 171 classes. Clusters of patches
      form before they find their text. ``text_weight=w`` multiplies the sum over k by
      ``w * M / (number of classes in the batch)``: with 1, the mean over classes of (2) weighs as much as
      the mean over patches of (4).
    - Without any labelled patch the loss is 0, connected to the graph, with gradient 0.

    Vectors are taken as they are: give unit vectors. Memory grows with ``M``, not with its square;
    :func:`~fmbseg.alignment.losses.tsupcon_clear.tsupcon_clear` is the same with whole matrices.

    Args:
        patches: unit vectors, (N, D), floating point.
        labels: class of each patch, 0 to K - 1 or ``ignore_index``, (N,), integers.
        prototypes: unit vectors of the classes' texts, (K, D).
        options: temperature and what else the paper leaves open; as printed if not given.

    Returns:
        The loss, a scalar of the dtype of ``patches``; differentiable once.

    Raises:
        ValueError: for shapes that do not fit, or labels out of range.

    Example:
        Two patches on the two prototypes of an orthogonal pair: (3) is ``-1 + log(e + 2)`` and (4) is
        ``-1 + log(1)`` for both, so the loss is ``(2 log(e + 2) - 4) / 4``.

        >>> import math, torch
        >>> loss = tsupcon(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
        >>> math.isclose(loss.item(), (2 * math.log(math.e + 2) - 4) / 4, rel_tol=1e-6)
        True
    """
    batch = labelled_batch(patches, labels, prototypes, options)
    return tsupcon_of(batch) if len(batch.labels) else batch.nothing


def tsupcon_of(batch: Batch) -> torch.Tensor:
    """Equation 1 of a batch that has a patch."""
    log_others = others_logsumexp(batch.patches, batch.options.temperature)
    texts = batch.text_factor * text_sum(batch, log_others)
    return (texts + image_sum(batch, log_others)) / (len(batch.labels) + len(batch.prototypes))


def text_logits(batch: Batch) -> torch.Tensor:
    """Similarity of each patch to each prototype over the temperature, (M, K)."""
    return torch.mm(batch.patches, batch.prototypes.T) / batch.options.temperature


def text_sum(batch: Batch, log_others: torch.Tensor) -> torch.Tensor:
    """The sum of equation 2 over the classes in the batch; a scalar.

    Args:
        batch: of M patches.
        log_others: of ``others_logsumexp``, (M,).
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
        log_others: of ``others_logsumexp``, (M,).
    """
    if len(batch.labels) == 1:  # no pair
        return batch.nothing
    sums = torch.zeros_like(batch.prototypes, dtype=batch.patches.dtype)
    sums = sums.index_add(0, batch.labels, batch.patches)
    to_positives = sums.square().sum(dim=1)
    positives = batch.counts
    if batch.options.exclude_self:
        itself = torch.linalg.vecdot(batch.patches, batch.patches)
        to_positives = to_positives - torch.zeros_like(positives).index_add(0, batch.labels, itself)
        positives = positives - 1
    counted = (positives > 0)[batch.labels]
    pulled = (to_positives / positives.clamp(min=1)).masked_fill(positives < 1, 0.0).sum()
    return log_others.masked_fill(~counted, 0.0).sum() - pulled / batch.options.temperature


def others_logsumexp(vectors: torch.Tensor, temperature: float) -> torch.Tensor:
    r"""For each vector, the logarithm of ``sum_{j != i} exp(z_i.z_j / temperature)``.

    Memory grows with the number of vectors, not with its square. The similarities are formed a tile at a
    time, once in the forward pass and once more in the backward pass; as ``z_i.z_j = z_j.z_i``, the tiles on
    and above the diagonal serve for both sides. Two runs on one CPU are bit-identical.

    Args:
        vectors: (M, D), floating point, of any length.
        temperature: divides every dot product.

    Returns:
        (M,), differentiable once; minus infinity for a vector without others, with gradient 0.

    Example:
        >>> sums = others_logsumexp(torch.eye(3), temperature=1.0)  # two others each, at right angles
        >>> torch.allclose(sums, torch.tensor(2.0).log())
        True
    """
    found: torch.Tensor = _OthersLogSumExp.apply(vectors, 1.0 / temperature)
    return found


class _OthersLogSumExp(torch.autograd.Function):
    """With ``a`` the result, ``da_i/dz_i = sum_j p_ij z_j / t`` and ``da_i/dz_j = p_ij z_i / t``, where
    ``p_ij = exp(z_i.z_j / t - a_i)`` and ``t`` is the temperature.
    """  # noqa: D205 - one sentence of formulae

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor, scale: float) -> torch.Tensor:
        def in_tiles(side: int) -> torch.Tensor:
            sums = vectors.new_full((len(vectors),), -torch.inf)
            for rows, columns, tile in _upper_tiles(vectors, scale, side):
                sums[rows] = torch.logaddexp(sums[rows], tile.logsumexp(dim=1))
                if rows != columns:
                    sums[columns] = torch.logaddexp(sums[columns], tile.logsumexp(dim=0))
            return sums

        sums = with_tiles(in_tiles, vectors)
        ctx.save_for_backward(vectors, sums)
        ctx.scale = scale
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: torch.Tensor) -> tuple[torch.Tensor, None]:
        vectors, sums = ctx.saved_tensors
        if len(vectors) == 1:
            return torch.zeros_like(vectors), None

        def in_tiles(side: int) -> torch.Tensor:
            gradient = torch.zeros_like(vectors)
            for rows, columns, tile in _upper_tiles(vectors, ctx.scale, side):
                # Every pair counts in the sum of either of its vectors.
                pull = (tile - sums[rows, None]).exp_().mul_(weights[rows, None])
                pull.addcmul_(tile.sub_(sums[columns]).exp_(), weights[columns].expand_as(tile))
                gradient[rows].addmm_(pull, vectors[columns], alpha=ctx.scale)
                if rows != columns:
                    gradient[columns].addmm_(pull.T, vectors[rows], alpha=ctx.scale)
            return gradient

        return with_tiles(in_tiles, vectors), None


def _upper_tiles(
    vectors: torch.Tensor, scale: float, side: int
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Tiles of ``scale * z_i.z_j`` on and above the diagonal, which itself is minus infinity.

    Each tile is written over the one before.
    """
    count = len(vectors)
    memory = vectors.new_empty(min(side, count) ** 2)
    for top in range(0, count, side):
        rows = slice(top, min(top + side, count))
        for left in range(top, count, side):
            columns = slice(left, min(left + side, count))
            shape = (rows.stop - top, columns.stop - left)
            tile = memory[: shape[0] * shape[1]].view(shape)
            torch.mm(vectors[rows], vectors[columns].T, out=tile)
            tile.mul_(scale)
            if top == left:
                tile.fill_diagonal_(-torch.inf)
            yield rows, columns, tile
