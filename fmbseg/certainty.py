"""Certainty: how likely a word is right where it wins, read off a curve over its score.

A curve is fitted where nobody labelled anything: an independent view of photographs that were held out says
for each mask or pixel whether it would choose the same word, and isotonic regression makes that a probability
(Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

DEFAULT_CERTAINTY = 0.5
"""Below it a word is more likely wrong than right."""

_MOST_KNOTS = 24
_BINS = 400


@dataclass(frozen=True)
class CertaintyCurve:
    """A probability that never falls as a score rises; straight between its knots, level beyond them.

    Args:
        scores: of the knots, ascending.
        certainties: there, from 0 to 1, never falling.

    Raises:
        ValueError: lists of other lengths or orders, or of values that are none.

    Example:
        >>> curve = CertaintyCurve((0.2, 0.6), (0.1, 0.9))
        >>> curve.of([0.0, 0.4, 0.7]).round(2).tolist()
        [0.10000000149011612, 0.5, 0.8999999761581421]
    """

    scores: tuple[float, ...]
    certainties: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("scores", "certainties"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if not self.scores or len(self.scores) != len(self.certainties):
            raise ValueError(
                f"a curve has a certainty for each score, and one at least: got {len(self.scores)} scores "
                f"and {len(self.certainties)} certainties"
            )
        ascending = all(low < high for low, high in pairwise(self.scores))
        if not (ascending and all(map(math.isfinite, self.scores))):
            raise ValueError(f"a curve's scores must be finite and ascending: got {list(self.scores)}")
        steps = (0.0, *self.certainties, 1.0)
        if not all(low <= high for low, high in pairwise(steps)):  # false for NaN, too
            raise ValueError(
                f"a curve's certainties must go from 0 to 1 and never fall: got {list(self.certainties)}"
            )

    def of(self, scores: ArrayLike) -> NDArray[np.float32]:
        """The certainty of each score, float32 of the same shape."""
        import numpy as np

        found: NDArray[np.float32] = np.interp(np.asarray(scores), self.scores, self.certainties).astype(
            np.float32
        )
        return found

    def least_score(self, certainty: float) -> float:
        """The lowest score that is this certain; minus infinity if all are, infinity if none is.

        Example:
            >>> curve = CertaintyCurve((0.2, 0.6), (0.1, 0.9))
            >>> round(curve.least_score(0.5), 6), curve.least_score(0.05), curve.least_score(0.95)
            (0.4, -inf, inf)
        """
        if certainty <= self.certainties[0]:
            return -math.inf
        above = next((place for place, here in enumerate(self.certainties) if here >= certainty), None)
        if above is None:
            return math.inf
        low, high = self.certainties[above - 1], self.certainties[above]
        share = (certainty - low) / (high - low)
        return self.scores[above - 1] + share * (self.scores[above] - self.scores[above - 1])

    def to_dict(self) -> dict[str, list[float]]:
        """As JSON values."""
        return {"scores": list(self.scores), "certainties": list(self.certainties)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> CertaintyCurve:
        """The curve that :meth:`to_dict` turned into ``saved``.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(saved, dict) or saved.keys() != {"scores", "certainties"}:
            raise ValueError(f"a certainty curve has 'scores' and 'certainties'; got {saved!r:.80}")
        numbers = [*saved["scores"], *saved["certainties"]]
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
            raise ValueError("a certainty curve's scores and certainties must be numbers")
        return cls(tuple(saved["scores"]), tuple(saved["certainties"]))


@dataclass(frozen=True)
class HeadCertainty:
    """What a head knows of its own certainty; saved with it.

    Args:
        alone: the curve of the head's own scores, after hubness.
        mixed: the curve of scores mixed half and half with the image-text model's own; None if there is
            none.
        default: what is less certain stays blank unless the user says otherwise, from 0 to 1.
        made_from: how the curves were fitted, as JSON values; kept as they are.
        beside_common: the default where common words compete as background and masks get a second look, which
            leaves less to be sure of; None for the same.

    Raises:
        ValueError: a default outside 0 to 1.
    """

    alone: CertaintyCurve
    mixed: CertaintyCurve | None = None
    default: float = DEFAULT_CERTAINTY
    made_from: Mapping[str, Any] = field(default_factory=dict)
    beside_common: float | None = None

    def __post_init__(self) -> None:
        for default in (self.default, self.beside_common):
            if default is not None:
                check_certainty("the default certainty", default)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "alone": self.alone.to_dict(),
            "mixed": None if self.mixed is None else self.mixed.to_dict(),
            "default": self.default,
            "made_from": dict(self.made_from),
            **({} if self.beside_common is None else {"beside_common": self.beside_common}),
        }

    @classmethod
    def from_dict(cls, saved: object) -> HeadCertainty:
        """What :meth:`to_dict` turned into ``saved``.

        Raises:
            ValueError: it is none.
        """
        wanted = {"alone", "mixed", "default", "made_from"}
        if (
            not isinstance(saved, dict)
            or saved.keys() - {"beside_common"} != wanted
            or not isinstance(saved["made_from"], dict)
        ):
            raise ValueError(f"certainty must be an object of {', '.join(sorted(wanted))}; got {saved!r:.80}")
        mixed = saved["mixed"]
        return cls(
            CertaintyCurve.from_dict(saved["alone"]),
            None if mixed is None else CertaintyCurve.from_dict(mixed),
            check_certainty("the default certainty", saved["default"]),
            saved["made_from"],
            saved.get("beside_common"),
        )


def check_certainty(name: str, value: object) -> float:
    """Return a valid certainty.

    Raises:
        ValueError: it is not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}: it must be a number from 0 to 1")
    return float(value)


def fit_curve(scores: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None) -> CertaintyCurve:
    """Fit the curve that is nearest to what was right, in squares, among all that never fall.

    Args:
        scores: (N,), any order.
        right: (N,) how right each was, from 0 to 1.
        weights: (N,) weight of each, for example its pixels; equal if not given.

    Returns:
        A curve of at most 24 knots.

    Raises:
        ValueError: nothing to fit, or arrays of other lengths.

    Example:
        >>> fit_curve([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1]).certainties
        (0.0, 0.5, 0.5, 1.0)
    """
    import numpy as np  # not at the head: recipes hold curves, and help does without NumPy

    score, hit = np.asarray(scores, np.float64).ravel(), np.asarray(right, np.float64).ravel()
    weight = np.ones_like(score) if weights is None else np.asarray(weights, np.float64).ravel()
    if not len(score) or not len(score) == len(hit) == len(weight) or not weight.sum() > 0:
        raise ValueError(
            f"a curve is fitted to scores of weight: got {len(score)} scores, {len(hit)} results"
        )
    score, hit, weight = _binned(np.round(score, 6), hit, weight)  # so that means of bins stay apart
    level = _never_falling(hit, weight)
    # Where the level changes: the ends of each flat part.
    ends = np.flatnonzero(np.concatenate([[True], np.diff(level) > 0]) | np.append(np.diff(level) > 0, True))
    if len(ends) > _MOST_KNOTS:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, _MOST_KNOTS).round().astype(int))]
    return CertaintyCurve(
        tuple(np.round(score[ends], 6).tolist()), tuple(np.round(level[ends], 6).clip(0, 1).tolist())
    )


def _binned(
    score: NDArray[np.float64], hit: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Join what lies together, in some hundred bins of equal weight at most: mean scores, means, weights."""
    import numpy as np

    order = np.argsort(score, kind="stable")
    score, hit, weight = score[order], hit[order], weight[order]
    place = np.minimum(np.cumsum(weight) / weight.sum() * _BINS, _BINS - 1e-9).astype(int)
    place = np.maximum.accumulate(place)
    first = np.searchsorted(score, score)  # equal scores stay together
    _, group = np.unique(place[first], return_inverse=True)
    total = np.bincount(group, weight).astype(np.float64)
    kept = total > 0
    means = [np.bincount(group, weight * values)[kept] / total[kept] for values in (score, hit)]
    return np.round(means[0], 6), means[1], total[kept]


def _never_falling(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pool adjacent violators (Ayer et al. 1955)."""
    import numpy as np

    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, heavy, many = blocks.pop()
            mean = (mean * total + before * heavy) / (total + heavy)
            total, count = total + heavy, count + many
        blocks.append((mean, total, count))
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])
