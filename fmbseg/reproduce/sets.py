"""The photographs of a reproduction: what is here, what is missing, and where to get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.layouts import LAYOUTS
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Known(NamedTuple):
    """What is known of a set that is not here.

    Attributes:
        images: that are measured on.
        gigabytes: of the download (1e9 bytes), roughly; sets of one source share it.
    """

    images: int
    gigabytes: float


_VOC, _CONTEXT, _COCO, _CITY = Known(1449, 2.0), Known(5105, 1.4), Known(5000, 20.5), Known(500, 11.9)
KNOWN = {
    "voc21": _VOC,
    "voc20": _VOC,
    "context59": _CONTEXT,
    "context60": _CONTEXT,
    "coco_object80": _COCO,
    "coco_object81": _COCO,
    "coco_stuff171": _COCO,
    "cityscapes19": _CITY,
    "cityscapes30": _CITY,
    "ade20k150": Known(2000, 1.0),
}
"""Photographs of the usual split, and gigabytes, which are rough: from memory, not from the sets' pages."""


class Training(NamedTuple):
    """The photographs that labels are made of.

    Attributes:
        split: of the set.
        images: how many there are.
    """

    split: str
    images: int


TRAINING = {"coco_stuff171": Training("train2017", 118_287), "ade20k150": Training("training", 20_210)}
"""The sets whose photographs can be labelled; their own masks are not read for it."""


@dataclass(frozen=True)
class FoundSet:
    """Whether a set is here.

    Args:
        name: of the set, or of the set and its split for training.
        images: how many photographs there are, or should be.
        lacks: what is missing; empty where nothing is.
        source: where to get it.
        gigabytes: of the download, roughly.
    """

    name: str
    images: int
    lacks: str
    source: str
    gigabytes: float

    @property
    def here(self) -> bool:
        """Whether all of it is here."""
        return not self.lacks


def look_for(name: str, root: Path) -> FoundSet:
    """Look for a set to measure on; nothing but names is read."""
    lacks, images = "", KNOWN[name].images
    try:
        images = len(open_data(name, root).samples)
    except DataSetError as error:
        lacks = str(error).partition(". Get it here: ")[0]
    return FoundSet(name, images, lacks, LAYOUTS[name].source, KNOWN[name].gigabytes)


def look_for_training(name: str, root: Path) -> FoundSet:
    """Look for the photographs of a set that labels are made of."""
    split, images = TRAINING[name]
    lacks = ""
    try:
        images = len(training_photographs(name, root))
    except DataSetError as error:
        lacks = str(error).partition(". Get it here: ")[0]
    return FoundSet(f"{name}, {split}", images, lacks, LAYOUTS[name].source, KNOWN[name].gigabytes)


def training_photographs(name: str, root: Path, limit: int | None = None) -> list[Path]:
    """The photographs of a set's split for training, sorted.

    Args:
        name: of the set.
        root: the data folder, or the set's own.
        limit: only so many from the start.

    Raises:
        DataSetError: there are none; the message says where to get them.
    """
    layout, split = LAYOUTS[name], TRAINING[name].split
    before, after = layout.image.replace("{split}", split).split("{key}")
    for base in layout.bases:
        if found := sorted((root / base).glob(f"{before}*{after}")):
            return found[:limit]
    looked = ", ".join(str(root / base / before) for base in layout.bases)
    raise DataSetError(
        f"the photographs of {name} for training are not here: no {after} in {looked}. Get it here: "
        f"{layout.source}"
    )


def check_sets(names: Sequence[str]) -> None:
    """Refuse names that no set has.

    Raises:
        UnknownNameError: there is no such set; near misses are offered.
        ValueError: none is named, or one twice.

    Example:
        >>> check_sets(["voc2"])
        Traceback (most recent call last):
        ...
        fmbseg.unknown_name.UnknownNameError: there is no data set 'voc2'; did you mean ...
    """
    for name in names:
        if name not in KNOWN:
            raise UnknownNameError("data set", name, KNOWN)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"the sets are {', '.join(names) or 'none'}: name each of one or more once")
