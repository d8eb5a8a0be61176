"""Which class has which colour in the pictures of a run."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.drawing.palette import Colour, apart, distinct_colours

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

APART = 0.1
"""How far apart (:func:`~fmbseg.drawing.palette.apart`) two classes of a picture are, if they can be."""

_COUNT = 256


class ClassColours:
    """The colours of classes, the same in every picture of a run.

    The first two dozen classes of a vocabulary have colours of their own. Of a longer one, no palette can
    tell all from all, so the classes that a run does show choose among what no other has taken. A class
    changes its colour only where it would be mistaken for another in the same picture.

    Example:
        >>> colours = ClassColours()
        >>> colours.of([0, 1])
        {0: (255, 0, 0), 1: (0, 255, 255)}
    """

    def __init__(self) -> None:
        self._places: dict[int, int] = {}  # of each class, in the palette

    def of(self, present: Iterable[int]) -> dict[int, Colour]:
        """The colours of the classes of a picture, those that may keep theirs first."""
        here: dict[int, int] = {}
        for index in sorted(present, key=lambda one: one not in self._places):
            place = self._places.get(index)
            if place is None or _nearest([place], here.values())[0] < APART:
                place = self._chosen(index % _COUNT, here.values())
            here[index] = self._places[index] = place
        colours = distinct_colours(_COUNT).tolist()
        return {index: tuple(colours[place]) for index, place in here.items()}

    def of_map(self, *labels: NDArray[np.integer]) -> dict[int, Colour]:
        """The colours of the classes that maps of one picture show (-1: none), the largest chosen first."""
        counts = sum(np.bincount(one.ravel() + 1, minlength=_longest(labels)) for one in labels)
        areas = np.asarray(counts)[1:]
        order = np.argsort(-areas, kind="stable")
        return self.of(index for index in order.tolist() if areas[index])

    def _chosen(self, own: int, here: Iterable[int]) -> int:
        """The place that a class takes beside others of its picture."""
        here = tuple(here)
        places = [own, *range(_COUNT)]
        for others in ((*self._places.values(), *here), here):
            far = np.flatnonzero(_nearest(places, others) >= APART)
            if len(far):
                return int(places[far[0]])
        return int(places[int(_nearest(places, here).argmax())])


def table(colours: Mapping[int, Colour]) -> NDArray[np.uint8]:
    """Colours by class, (K + 1, 3); the last is black, for -1.

    Example:
        >>> table({1: (255, 0, 0)}).tolist()
        [[0, 0, 0], [255, 0, 0], [0, 0, 0]]
    """
    rows = np.zeros((max(colours, default=-1) + 2, 3), dtype=np.uint8)
    for index, colour in colours.items():
        rows[index] = colour
    return rows


@cache
def _distances() -> NDArray[np.float64]:
    return apart(distinct_colours(_COUNT))


def _nearest(places: list[int], others: Iterable[int]) -> NDArray[np.float64]:
    """How far each place of the palette is from the nearest of others."""
    taken = list(others)
    nearest: NDArray[np.float64] = _distances()[np.ix_(places, taken)].min(axis=1, initial=np.inf)
    return nearest


def _longest(labels: Iterable[NDArray[np.integer]]) -> int:
    return max((int(one.max(initial=-1)) for one in labels), default=-1) + 2
