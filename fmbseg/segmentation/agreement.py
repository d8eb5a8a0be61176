"""Pseudo labels for certainty: cells for which views that were made apart choose the same word.

What a model says of itself is no evidence, and one other view is not enough: where the right word was not
offered, two models are often wrong together. So every view must choose the word, and none may prefer another
word by far, out of many more that nobody asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.hubness import hubness_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

FAR = 0.2
"""How much more similar another word may be. Chosen on photographs with masks: the resulting probabilities
were near the true ones."""


class View(NamedTuple):
    """An image as one model sees it, with the words in the same space.

    Attributes:
        text_map: (D, h, w), which covers the image.
        words: (K, D) unit vectors.
        others: (M, D) unit vectors of words that were not asked for.
        hubness: weight of the penalty on words that are similar to everything, against ``others``.
    """

    text_map: torch.Tensor
    words: torch.Tensor
    others: torch.Tensor
    hubness: float = 0.0

    def scores(self, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Similarity to each word (K, h, w) and to the best other word (h, w), on a grid of ``size``."""
        found = []
        for texts in (self.words, self.others):
            similarity = torch.einsum("kd,dhw->khw", texts, self.text_map)
            if self.hubness:
                similarity -= self.hubness * hubness_of(texts, self.others)[:, None, None]
            found.append(similarity)
        both = torch.cat([found[0], found[1].amax(0, keepdim=True)])
        if both.shape[1:] != size:
            both = F.interpolate(both[None], size, mode="bilinear", align_corners=False)[0]
        return both[:-1], both[-1]


class Evidence(NamedTuple):
    """What the cells of an image's first view say.

    Attributes:
        words: (h, w) the word that each chooses.
        scores: (h, w) its score.
        agreed: (h, w) whether all views agree on it.
    """

    words: NDArray[np.int64]
    scores: NDArray[np.float32]
    agreed: NDArray[np.bool_]


def gather_evidence(first: View, others: Sequence[View], far: float = FAR) -> Evidence:
    """Ask other views whether they choose, for each cell of the first, the same word.

    Args:
        first: the view whose certainty is wanted.
        others: one or more that were made apart from it: another model, other crops.
        far: by how much a word that was not asked for may be more similar in them.

    Raises:
        ValueError: there is no other view.

    Example:
        >>> here = View(torch.eye(2)[:, None], torch.eye(2), -torch.eye(2))  # a cell of each word
        >>> there = View(torch.ones(2, 1, 2), torch.eye(2), -torch.eye(2))  # takes both for the first
        >>> gather_evidence(here, [there]).agreed.tolist()
        [[True, False]]
    """
    if not others:
        raise ValueError("certainty needs another view of the image: a model cannot vouch for itself")
    size = (first.text_map.shape[1], first.text_map.shape[2])
    best = first.scores(size)[0].max(0)
    agreed = torch.ones(size, dtype=torch.bool)
    for view in others:
        score, word = (scores := view.scores(size))[0].max(0)
        agreed &= ((word == best.indices) & (score > scores[1] - far)).cpu()
    return Evidence(best.indices.cpu().numpy(), best.values.float().cpu().numpy(), agreed.numpy())
