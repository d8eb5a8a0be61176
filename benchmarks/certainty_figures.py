"""The sums of ``benchmarks.certainty``: from counts of what was painted to figures and a curve.

Counts are a confusion matrix (K + 1, K + 1) of true classes by painted ones. The last row is pixels that show
none of the K classes: painting them is wrong. The last column is pixels that were left blank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fmbseg.evaluation.intervals import draw_photographs, drawn_figure, interval, mean_of_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Cells = Sequence[Sequence[int]]

DRAWS = 1000


def counts(
    painted: NDArray[np.integer], target: NDArray[np.integer], counted: NDArray[np.bool_], classes: int
) -> list[list[int]]:
    """The cells of a photograph's counts that are not 0, as [row, column, pixels].

    Args:
        painted: (H, W), -1 where blank.
        target: (H, W), -1 where no class is shown.
        counted: (H, W), whether the pixel counts.
        classes: K.

    Example:
        >>> counts(np.array([[0, 1, -1]]), np.array([[0, -1, 1]]), np.array([[True, True, True]]), 2)
        [[0, 0, 1], [1, 2, 1], [2, 1, 1]]
    """
    true, seen = (np.where(one < 0, classes, one)[counted] for one in (target, painted))
    sums = np.bincount(true.astype(np.int64) * (classes + 1) + seen, minlength=(classes + 1) ** 2)
    return [
        [int(cell // (classes + 1)), int(cell % (classes + 1)), int(sums[cell])] for cell in sums.nonzero()[0]
    ]


class Painted(NamedTuple):
    """One way of painting, photograph by photograph.

    Attributes:
        sums: (N, 4) pixels: painted, right, of a known class, all.
        matrices: (N, K, K + 1) counts without the row of pixels that show no class.
    """

    sums: NDArray[np.int64]
    matrices: NDArray[np.int64]

    @classmethod
    def of(cls, photographs: Iterable[Cells], classes: int) -> Painted:
        """Add up the counts of :func:`counts` of each photograph."""
        sums, matrices = [], []
        for cells in photographs:
            matrix = np.zeros((classes + 1, classes + 1), np.int64)
            for row, column, pixels in cells:
                matrix[row, column] = pixels
            right = matrix.diagonal()[:-1].sum()
            sums.append([matrix[:, :-1].sum(), right, matrix[:-1].sum(), matrix.sum()])
            matrices.append(matrix[:-1])
        return cls(np.array(sums), np.stack(matrices))


def against(here: Painted, everything: Painted) -> dict[str, list[float]]:
    """How many times as precise as another way of painting, and what part of its recall is left."""
    sums = np.stack([here.sums, everything.sums], axis=1)
    mine, other, painted, right = 0, 1, 0, 1

    def times(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        precision = drawn[:, :, right] / np.maximum(1, drawn[:, :, painted])
        return precision[:, mine] / precision[:, other]

    return {
        "times_the_precision": with_interval(sums, times),
        "part_of_the_recall": with_interval(
            sums, lambda drawn: drawn[:, mine, right] / drawn[:, other, right]
        ),
    }


def figures(here: Painted, everything: Painted) -> dict[str, list[float]]:
    """Precision, recall, share and mIoU beside those of everything painted, each with its interval."""
    painted, right, known, pixels = range(4)

    def share(part: int, whole: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        return lambda drawn: drawn[:, part] / np.maximum(1, drawn[:, whole])

    wanted = {
        "precision": share(right, painted),
        "recall": share(right, known),
        "share": share(painted, pixels),
    }
    found: dict[str, list[float]] = {}
    for name, figure in wanted.items():
        found[f"{name}_of_everything"] = with_interval(everything.sums, figure)
        found[name] = with_interval(here.sums, figure)
    return (
        found
        | against(here, everything)
        | {
            "miou_of_everything": with_interval(everything.matrices, miou),
            "miou": with_interval(here.matrices, miou),
        }
    )


def with_interval(
    counts: NDArray[np.integer], figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> list[float]:
    """A figure of sums over photographs, and what holds 90 % of it in draws of them.

    Example:
        >>> with_interval(np.array([0, 1]), lambda sums: sums / 2)  # both, or one of them twice
        [0.5, 0.0, 1.0]
    """
    (value,) = figure(counts.sum(axis=0, keepdims=True).astype(np.float64))
    return [round(float(one), 4) for one in (value, *interval(drawn_figure(counts, figure, draws=DRAWS)))]


def miou(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the classes that are shown, as the data set's own."""
    hits, shown = np.diagonal(matrices, axis1=1, axis2=2), matrices.sum(2)
    return mean_of_classes(hits, shown + matrices[:, :, :-1].sum(1) - hits, shown > 0)


def presence(
    score: NDArray[np.floating],
    shown: NDArray[np.bool_],
    voted: NDArray[np.bool_],
    likely: NDArray[np.floating],
) -> dict[str, list[Any]]:
    """Precision and recall of votes for classes, the precision of scores at the same recall, and reliability.

    Args:
        score: (photographs, K), higher where a class is likelier.
        shown: (photographs, K).
        voted: (photographs, K).
        likely: (photographs, K), the score's certainty.

    Example:
        >>> shown, voted = np.array([[True, False, True]]), np.array([[True, True, False]])
        >>> score = np.array([[0.9, 0.1, 0.2]])
        >>> found = presence(score, shown, voted, score)
        >>> found["votes_precision"][0], found["votes_recall"][0], found["precision_at_equal_recall"][0]
        (0.5, 0.5, 1.0)
    """
    order = np.argsort(-score, axis=None, kind="stable")
    of_photograph = order // score.shape[1]

    def votes(times: NDArray[np.float64]) -> tuple[float, float]:
        hits = (times @ (voted & shown)).sum()
        return hits / max(1, (times @ voted).sum()), hits / (times @ shown).sum()

    def at_equal_recall(times: NDArray[np.float64]) -> float:
        weight = times[of_photograph]
        hits = (weight * shown.ravel()[order]).cumsum()
        place = int(np.searchsorted(hits, votes(times)[1] * hits[-1] - 1e-6))
        return float(hits[place] / weight[: place + 1].sum())

    tenth = np.minimum(likely * 10, 9).astype(int)
    found: dict[str, list[Any]] = {
        "reliability": [
            [low / 10, int(here.sum()), round(float(shown[here].mean()), 4) if here.any() else None]
            for low in range(10)
            for here in [tenth == low]
        ]
    }
    drawn = [np.ones(len(score)), *draw_photographs(len(score), draws=DRAWS)]
    for name, figure in {
        "votes_precision": lambda times: votes(times)[0],
        "votes_recall": lambda times: votes(times)[1],
        "precision_at_equal_recall": at_equal_recall,
    }.items():
        value, *others = [figure(times) for times in drawn]
        found[name] = [round(float(one), 4) for one in (value, *interval(np.array(others)))]
    return found


def choose(
    ways: Mapping[float, Painted], everything: Painted, least_recall: float
) -> tuple[float, dict[str, list[float]]]:
    """The most precise of several ways that surely keep a part of the recall, and what it reaches.

    Surely: in 95 of 100 draws of the photographs. Where none does, the way that keeps most.

    Example:
        >>> none = np.zeros((1, 1, 2), np.int64)
        >>> all_of_it = Painted(np.array([[100, 10, 50, 100]]), none)
        >>> some, few = (Painted(np.array([[*one, 50, 100]]), none) for one in ((20, 6), (5, 4)))
        >>> choose({0.3: some, 0.5: few}, all_of_it, 0.5)
        (0.3, {'times_the_precision': [3.0, 3.0, 3.0], 'part_of_the_recall': [0.6, 0.6, 0.6]})
    """
    reached = {name: against(way, everything) for name, way in ways.items()}
    enough = {name: one for name, one in reached.items() if one["part_of_the_recall"][1] >= least_recall}
    if not enough:
        return max(reached.items(), key=lambda item: item[1]["part_of_the_recall"])
    return max(enough.items(), key=lambda item: item[1]["times_the_precision"])


def curve(levels: Mapping[float, Painted]) -> list[list[float]]:
    """At each certainty: it, the share that is painted, precision and recall."""
    rows = []
    for level, way in sorted(levels.items()):
        painted, right, known, everything = way.sums.sum(0)
        if painted:
            rows.append(
                [
                    level,
                    *(round(float(one), 4) for one in (painted / everything, right / painted, right / known)),
                ]
            )
    return rows


def reliability(levels: Mapping[float, Painted]) -> list[list[float | int | None]]:
    """From each certainty to the next: it, its pixels, and the share of them that is right.

    Only where a pixel's word does not depend on what is left blank.
    """
    certainties = sorted(levels)
    totals = [levels[one].sums.sum(0)[:2] for one in certainties]
    found: list[list[float | int | None]] = []
    for level, here, above in zip(certainties, totals, [*totals[1:], np.zeros(2, np.int64)], strict=True):
        pixels, right = (here - above).tolist()
        found.append([level, pixels, round(right / pixels, 4) if pixels else None])
    return found


_COLOURS = ("#b33", "#36c", "#383", "#888")
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 330" font-family="sans-serif" font-size="12">'
)
_LEFT, _TOP, _WIDE, _HIGH = 60, 20, 420, 260


def picture(curves: Mapping[str, Sequence[Sequence[float]]], chosen: Mapping[str, Sequence[float]]) -> str:
    """An SVG of precision against the share that is painted.

    Args:
        curves: of :func:`curve`, by what the legend calls them.
        chosen: for some of them (share, precision) of the setting that is marked.
    """

    def place(share: float, precision: float) -> tuple[float, float]:
        return round(_LEFT + _WIDE * share, 1), round(_TOP + _HIGH * (1 - precision), 1)

    lines = [_HEAD, '<rect width="520" height="330" fill="white"/>']
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x, y = place(tick, tick)
        lines += [
            f'<line x1="{_LEFT}" x2="{_LEFT + _WIDE}" y1="{y:g}" y2="{y:g}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{tick:g}</text>',
            f'<text x="{x:g}" y="{_TOP + _HIGH + 18}" text-anchor="middle">{tick:g}</text>',
        ]
    lines += [
        '<text x="270" y="320" text-anchor="middle">share of the pixels that is painted</text>',
        '<text x="14" y="150" text-anchor="middle" transform="rotate(-90 14 150)">precision</text>',
    ]
    for number, (name, rows) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join("{:g},{:g}".format(*place(share, precision)) for _, share, precision, _ in rows)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if name in chosen:
            x, y = place(*chosen[name])
            lines.append(f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{colour}"/>')
        lines.append(f'<text x="250" y="{40 + 18 * number}" fill="{colour}">{name}</text>')
    return "\n".join([*lines, "</svg>", ""])
