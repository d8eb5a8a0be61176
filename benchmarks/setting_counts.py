"""Candidates for settings, and what is counted of each, photograph by photograph, to choose between them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.intervals import draw_photographs, interval, mean_of_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Candidate = tuple[Any, ...]
"""One value of each setting of a grid, in its order."""


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Every combination of a grid's values; of those that mix nothing in, one.

    Example:
        >>> combinations({"weight": (0.0, 0.5), "own_short_side": (448, 560)})
        [(0.0, 448), (0.5, 448), (0.5, 560)]
    """
    names = list(grid)
    found = []
    for values in product(*grid.values()):
        named = dict(zip(names, values, strict=True))
        if named.get("weight") == 0 and named["own_short_side"] != grid["own_short_side"][0]:
            continue
        found.append(values)
    return found


class Counts:
    """What is counted of each photograph and candidate: pixels right, of the class, and given it.

    Args:
        classes: K.

    Example:
        >>> counts = Counts(2)
        >>> counts.add("one", np.array([[0, 1]]), np.array([[0, 0]]))
        >>> counts.add("other", np.array([[0, 0]]), np.array([[0, 0]]))
        >>> counts.miou("one"), counts.best(["one", "other"])
        (0.25, 'other')
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._pixels: dict[Any, list[NDArray[np.int64]]] = {}

    def add(self, candidate: Any, labels: NDArray[np.integer], target: NDArray[np.integer]) -> None:
        """Count a photograph."""
        matrix = ConfusionMatrix(self._classes)
        matrix.update(labels, target)
        self.put(candidate, pixels_of(matrix.counts))

    def put(self, candidate: Any, pixels: NDArray[np.int64]) -> None:
        """Add a photograph of which :func:`pixels_of` told the pixels."""
        self._pixels.setdefault(candidate, []).append(pixels)

    def miou(self, candidate: Any) -> float:
        """Over the classes shown or found."""
        return float(_miou(np.sum(self._pixels[candidate], axis=0)))

    def left_out(self, candidates: Sequence[Any]) -> list[NDArray[np.int64]]:
        """The counts of each photograph with the candidate that is best on all others.

        Example:
            >>> counts = Counts(2)
            >>> for shown in ([[0, 0]], [[1, 1]]):
            ...     counts.add("zeros", np.array([[0, 0]]), np.array(shown))
            ...     counts.add("ones", np.array([[1, 1]]), np.array(shown))
            >>> [int(one[:, 0].sum()) for one in counts.left_out(["zeros", "ones"])]  # each has the other's
            [0, 0]
        """
        pixels = np.stack([self._pixels[one] for one in candidates])
        others = pixels.sum(axis=1, keepdims=True) - pixels
        best = _miou(others).argmax(axis=0)
        return [pixels[chosen, place] for place, chosen in enumerate(best)]

    def drawn(self, photographs: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """The mIoU of each draw of the photographs, as :class:`ImageCounts` has it."""
        pixels = np.stack(photographs)
        sums = draw_photographs(len(pixels)) @ pixels.reshape(len(pixels), -1).astype(np.float64)
        hits, there, given = np.moveaxis(sums.reshape(-1, self._classes, 3), -1, 0)
        either = (there > 0) | (pixels[..., 1].sum(axis=0) == 0)
        return mean_of_classes(hits, there + given - hits, either)

    def best(self, candidates: Sequence[Any]) -> Any:
        """The candidate of the highest mIoU, of equals the first."""
        return max(candidates, key=self.miou)

    def told(self, names: Sequence[str], candidates: Sequence[Candidate], own: Candidate) -> dict[str, Any]:
        """The choice beside the recipe's own settings, and all candidates, as JSON values."""
        chosen, others_best = self.best(candidates), self.left_out(candidates)
        low, high = interval(self.drawn(others_best) - self.drawn(self._pixels[own]))
        return {
            "chosen": dict(zip(names, chosen, strict=True)),
            "recipe": dict(zip(names, own, strict=True)),
            "chosen_miou": round(self.miou(chosen), 4),
            "recipe_miou": round(self.miou(own), 4),
            "chosen_on_others_miou": round(float(_miou(np.sum(others_best, axis=0))), 4),
            "chosen_on_others_over_recipe": [round(low, 4), round(high, 4)],
            "recipe_stays": low <= 0,
            "candidates": [[*one, round(self.miou(one), 4)] for one in candidates],
        }

    def told_of_each(self, grid: Mapping[str, Sequence[Any]], own: Mapping[str, Any]) -> dict[str, Any]:
        """The choice of settings one by one, of candidates (name, value), as JSON values by name."""
        found = {}
        for name, values in grid.items():
            told = self.told(["name", "value"], [(name, value) for value in values], (name, own[name]))
            found[name] = {**told, "chosen": told["chosen"]["value"], "recipe": told["recipe"]["value"]}
        return found


def pixels_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pixels right, of the class, and given it, (K, 3), by the counts (K, K + 1) of a confusion matrix.

    Example:
        >>> pixels_of(np.array([[1, 1, 0], [0, 0, 0]])).tolist()
        [[1, 2, 1], [0, 0, 1]]
    """
    return np.stack([np.diagonal(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0)], axis=1)


def _miou(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of counts (..., K, 3) as :class:`Counts` has them, over the classes shown or found."""
    hits, there, given = np.moveaxis(counts.astype(np.float64), -1, 0)
    union = there + given - hits
    shares = np.divide(hits, union, out=np.zeros_like(hits), where=union > 0)
    return np.asarray(shares.sum(axis=-1) / np.maximum(1, (union > 0).sum(axis=-1)))
