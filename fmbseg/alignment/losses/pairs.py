"""The log-sum-exp of each vector's similarities to all others, without the matrix of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Iterator

# A tile of the matrix of all pairs is what lives in memory: 1,024 by 1,024 are 4 MB in float32, where the
# matrix of the 6,845 patches of five photographs is 187 MB, and automatic differentiation keeps several.
_TILE = 1024


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
        sums = vectors.new_full((len(vectors),), -torch.inf)
        for rows, columns, tile in _upper_tiles(vectors, scale):
            sums[rows] = torch.logaddexp(sums[rows], tile.logsumexp(dim=1))
            if rows != columns:
                sums[columns] = torch.logaddexp(sums[columns], tile.logsumexp(dim=0))
        ctx.save_for_backward(vectors, sums)
        ctx.scale = scale
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: torch.Tensor) -> tuple[torch.Tensor, None]:
        vectors, sums = ctx.saved_tensors
        gradient = torch.zeros_like(vectors)
        if len(vectors) == 1:
            return gradient, None
        for rows, columns, tile in _upper_tiles(vectors, ctx.scale):
            # Every pair counts in the sum of either of its vectors.
            pull = (tile - sums[rows, None]).exp_().mul_(weights[rows, None])
            pull.addcmul_(tile.sub_(sums[columns]).exp_(), weights[columns].expand_as(tile))
            gradient[rows].addmm_(pull, vectors[columns], alpha=ctx.scale)
            if rows != columns:
                gradient[columns].addmm_(pull.T, vectors[rows], alpha=ctx.scale)
        return gradient, None


def _upper_tiles(vectors: torch.Tensor, scale: float) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Tiles of ``scale * z_i.z_j`` on and above the diagonal, which itself is minus infinity.

    Each tile is written over the one before.
    """
    count = len(vectors)
    memory = vectors.new_empty(min(_TILE, count) ** 2)
    for top in range(0, count, _TILE):
        rows = slice(top, min(top + _TILE, count))
        for left in range(top, count, _TILE):
            columns = slice(left, min(left + _TILE, count))
            shape = (rows.stop - top, columns.stop - left)
            tile = memory[: shape[0] * shape[1]].view(shape)
            torch.mm(vectors[rows], vectors[columns].T, out=tile)
            tile.mul_(scale)
            if top == left:
                tile.fill_diagonal_(-torch.inf)
            yield rows, columns, tile
