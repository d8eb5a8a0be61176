"""Two label sets of the same photographs, compared: by class, and the photographs that differ most."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmbseg.vocabulary import Vocabulary

_Indices = tuple["NDArray[np.int32]", "NDArray[np.int32]"]
_Maps = tuple["NDArray[np.int32]", "NDArray[np.int32]"]

MOST_DIFFERENT = 12


class MappedPhotograph(Protocol):
    """What is compared of a photograph; a :class:`~fmbseg.labels.record.LabeledImage` has it."""

    @property
    def path(self) -> str:
        """Of its file, from the root of the labels."""
        ...

    @property
    def sha256(self) -> str:
        """Of its file."""
        ...

    def label_map(self) -> NDArray[np.int32]:
        """Class of each pixel, -1 for none, (H, W)."""
        ...


class MappedPhotographs(Protocol):
    """What is compared; a :class:`~fmbseg.labels.label_set.LabelSet` is one."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that the maps' values are positions in."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[MappedPhotograph]: ...


class ComparedClass(NamedTuple):
    """One class in two label sets, over all photographs that are in both.

    Attributes:
        iou: pixels that both give it, of those that either gives it.
        pixels: that each of the two sets gives it.
        photographs: in which each of the two sets gives it a pixel.
    """

    iou: float
    pixels: tuple[int, int]
    photographs: tuple[int, int]


@dataclass(frozen=True, eq=False)
class ComparedPhotograph:
    """A photograph's labels in two sets; those of a label set are still run lengths.

    Attributes:
        first: its record in the first set.
        second: its record in the second.
        indices: where each set's classes are among the common names; the last is what -1 becomes.
        agreement: pixels that both give the same class, of those that either gives one; 1 if there are none.
    """

    first: MappedPhotograph
    second: MappedPhotograph
    indices: _Indices
    agreement: float

    def maps(self) -> _Maps:
        """The class maps of the two, (H, W), indices of the common names, -1 for none."""
        return _maps((self.first, self.second), self.indices)


@dataclass(frozen=True, eq=False)
class LabelComparison:
    """What :func:`compare` found.

    Attributes:
        names: of the classes of both sets, those of the first one first.
        photographs: in both sets.
        alone: photographs that are in the first set, or the second, alone.
        agreement: pixels that both sets give the same class, of those that either gives one.
        miou: mean IoU of the classes that either set gives a pixel; 0 if there is none.
        classes: those classes by name, in the order of ``names``.
        most_different: photographs of the lowest agreement, lowest first; none whose labels are the same.
    """

    names: tuple[str, ...]
    photographs: int
    alone: tuple[int, int]
    agreement: float
    miou: float
    classes: dict[str, ComparedClass]
    most_different: tuple[ComparedPhotograph, ...]

    def to_dict(self) -> dict[str, Any]:
        """In plain values, for JSON."""
        return {
            "photographs": self.photographs,
            "alone": list(self.alone),
            "agreement": self.agreement,
            "miou": self.miou,
            "classes": {name: one._asdict() for name, one in self.classes.items()},
            "most_different": [
                {"path": one.first.path, "agreement": one.agreement} for one in self.most_different
            ],
        }


def compare(
    first: MappedPhotographs, second: MappedPhotographs, *, count: int = MOST_DIFFERENT
) -> LabelComparison:
    """Compare two label sets of the same photographs, by the masks that are trained on.

    Photographs are the same whose files have the same SHA-256, wherever they lie, and classes those of one
    name. A pixel without a label in one set counts against a class that the other gives it. Records are gone
    through side by side: sets in the same order are never held in memory.

    Args:
        first: a label set, or what was made of one.
        second: another one.
        count: photographs to keep as the most different ones, at most.

    Raises:
        ValueError: no photograph is in both, one has another size in each, or ``count`` is below 0.
    """
    if count < 0:
        raise ValueError(f"count is {count}: it must be 0 or more")
    names, indices = _common(first.vocabulary, second.vocabulary)
    sums, pairs = _Sums(len(names)), _Pairs()
    worst: list[tuple[float, int, ComparedPhotograph]] = []
    for number, pair in enumerate(pairs.of(first, second)):
        maps = _maps(pair, indices)
        sums.add(maps)
        one = ComparedPhotograph(*pair, indices, _agreement(*maps))
        if one.agreement < 1 and count:
            heapq.heappush(worst, (-one.agreement, -number, one))
            if len(worst) > count:
                heapq.heappop(worst)  # the one that agrees most, of equal ones the later
    if not sums.compared:
        raise ValueError(
            f"no photograph is in both label sets ({len(first)} and {len(second)} photographs): photographs "
            "are matched by the SHA-256 of their files"
        )
    classes = {name: found for index, name in enumerate(names) if (found := sums.of_class(index))}
    return LabelComparison(
        names=names,
        photographs=sums.compared,
        alone=pairs.alone,
        agreement=sums.agreement,
        miou=float(np.mean([one.iou for one in classes.values()])) if classes else 0.0,
        classes=classes,
        most_different=tuple(one for _, _, one in sorted(worst, key=lambda each: each[:2], reverse=True)),
    )


class _Pairs:
    """The records of each photograph that is in both sets."""

    def __init__(self) -> None:
        self._waiting: tuple[dict[Any, MappedPhotograph], dict[Any, MappedPhotograph]] = ({}, {})

    def of(
        self, first: MappedPhotographs, second: MappedPhotographs
    ) -> Iterator[tuple[MappedPhotograph, MappedPhotograph]]:
        seen: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for records in zip_longest(first, second):
            for side, record in enumerate(records):
                if record is None:
                    continue
                key = (record.sha256, seen[side][record.sha256])  # a file may lie there twice
                seen[side][record.sha256] += 1
                if (other := self._waiting[1 - side].pop(key, None)) is None:
                    self._waiting[side][key] = record
                else:
                    yield (other, record) if side else (record, other)

    @property
    def alone(self) -> tuple[int, int]:
        """Records of each set that found no partner, when all have been gone through."""
        return len(self._waiting[0]), len(self._waiting[1])


class _Sums:
    """Pixels by their class in the first set (row) and the second (column); the last of each is none."""

    def __init__(self, classes: int) -> None:
        self.compared = 0
        self._pixels = np.zeros((classes + 1, classes + 1), np.int64)
        self._photographs = np.zeros((2, classes + 1), np.int64)

    def add(self, maps: _Maps) -> None:
        side = len(self._pixels)
        one, other = (each.ravel().astype(np.int64) % side for each in maps)  # -1 is the last
        here = np.bincount(one * side + other, minlength=side * side).reshape(side, side)
        self._pixels += here
        self._photographs += np.stack([here.any(axis=1), here.any(axis=0)])
        self.compared += 1

    @property
    def agreement(self) -> float:
        either = int(self._pixels.sum() - self._pixels[-1, -1])
        return float(np.trace(self._pixels[:-1, :-1]) / either) if either else 1.0

    def of_class(self, index: int) -> ComparedClass | None:
        both = int(self._pixels[index, index])
        one, other = int(self._pixels[index].sum()), int(self._pixels[:, index].sum())
        if not one + other:
            return None
        shown = self._photographs[:, index].tolist()
        return ComparedClass(both / (one + other - both), (one, other), (shown[0], shown[1]))


def _maps(records: tuple[MappedPhotograph, MappedPhotograph], indices: _Indices) -> _Maps:
    one, other = (index[each.label_map()] for index, each in zip(indices, records, strict=True))
    if one.shape != other.shape:
        raise ValueError(
            f"{records[0].path} is {one.shape} pixels in one set and {other.shape} in the other: verify them"
        )
    return one, other


def _agreement(one: NDArray[np.int32], other: NDArray[np.int32]) -> float:
    either = (one >= 0) | (other >= 0)
    return float((one == other)[either].mean()) if either.any() else 1.0


def _common(first: Vocabulary, second: Vocabulary) -> tuple[tuple[str, ...], _Indices]:
    """The names of both, and where each vocabulary's classes are among them; -1 stays where it is."""
    names = tuple(dict.fromkeys([*first.names, *second.names]))
    place = {name: index for index, name in enumerate(names)}
    return names, (
        np.array([*(place[name] for name in first.names), -1], np.int32),
        np.array([*(place[name] for name in second.names), -1], np.int32),
    )
