"""A folder of photographs with class masks, and the words for its classes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.evaluation.mask_files import DataSetError, read_target, value_table
from fmbseg.images import ImageError, find_images, load_image
from fmbseg.vocabularies import BACKGROUND

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MaskFolderError(DataSetError):
    """A folder that is not laid out as it should be; the message names the file and what it must be."""


@dataclass(frozen=True)
class MaskedPhotograph:
    """One photograph with its mask.

    Args:
        key: its id in ``manifest.csv``.
        image: its file.
        mask: the file of its class mask.
        fold: what it is for, for example ``val``.
    """

    key: str
    image: Path
    mask: Path
    fold: str


class MaskFolder:
    """Photographs with class masks.

    The folder is laid out so::

        manifest.csv       a row a photograph; the columns id and fold are read. May be left out: then all
                           images are of the fold "all"
        classes.txt        a line a class: the value in the masks, a tab, the name
        images/<id>.jpg    or another image extension
        masks/<id>.png     8 bits, one channel

    Values named "background", or whose name starts with "ignore", belong to no class.

    Args:
        folder: that holds them.

    Attributes:
        names: of the classes, in the order of classes.txt.
        background: the values that are named "background".
        table: for each value of a mask its class, as
            :func:`~fmbseg.evaluation.mask_files.value_table` makes it.
        photographs: in the order of manifest.csv.

    Raises:
        MaskFolderError: a file is missing or not as above.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        values = _read_classes(self.folder / "classes.txt")
        words = {value: name for value, name in values.items() if not _is_no_class(name)}
        if not words:
            raise MaskFolderError(
                f"{self.folder / 'classes.txt'} names no class beside background and ignore"
            )
        self.names = tuple(words.values())
        self.background = frozenset(value for value, name in values.items() if name == BACKGROUND)
        self.table = value_table({value: index for index, value in enumerate(words)}, list(values))
        listed = (self.folder / "manifest.csv").is_file()
        self.photographs = _read_manifest(self.folder) if listed else _all_images(self.folder)

    def fold(self, name: str) -> list[MaskedPhotograph]:
        """The photographs of one fold.

        Raises:
            MaskFolderError: there are none; the message lists the folds.
        """
        chosen = [photograph for photograph in self.photographs if photograph.fold == name]
        if not chosen:
            folds = sorted({photograph.fold for photograph in self.photographs})
            raise MaskFolderError(
                f"{self.folder / 'manifest.csv'} has no photograph of fold {name!r}; its folds are {folds}"
            )
        return chosen

    def load(self, photograph: MaskedPhotograph) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Read a photograph and its target.

        Returns:
            The image (H, W, 3), and for each pixel its index in :attr:`names`, or -1 for no class, (H, W).

        Raises:
            ImageError: the photograph cannot be read.
            DataSetError: the mask cannot be read, has another size, or a value that is not in classes.txt.
        """
        image = load_image(photograph.image)
        size = (image.shape[0], image.shape[1])
        return image, read_target(photograph.mask, self.table, size, photograph.image, "classes.txt")


def _is_no_class(name: str) -> bool:
    return name == BACKGROUND or name.startswith("ignore")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MaskFolderError(f"{path} cannot be read: {error}") from error


def _read_classes(path: Path) -> dict[int, str]:
    classes: dict[int, str] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        value, tab, name = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not value.isdecimal() or int(value) > 255 or not name.strip():
            raise MaskFolderError(
                f"{path}, line {number}: {line!r} is not a value of 0 to 255, a tab and a name"
            )
        if int(value) in classes or name.strip() in classes.values():
            raise MaskFolderError(f"{path}, line {number}: {line!r} repeats a value or a name")
        classes[int(value)] = name.strip()
    return classes


def _images(folder: Path) -> list[Path]:
    try:
        return find_images(folder / "images")
    except ImageError as error:
        raise MaskFolderError(f"{folder} has no photographs: {error}") from error


def _all_images(folder: Path) -> tuple[MaskedPhotograph, ...]:
    """Every image, named by its path below images/ without the extension."""
    photographs = []
    for image in _images(folder):
        key = image.relative_to(folder / "images").with_suffix("").as_posix()
        mask = folder / "masks" / f"{key}.png"
        if not mask.is_file():
            raise MaskFolderError(f"{image} has no mask: {mask} is missing")
        photographs.append(MaskedPhotograph(key, image, mask, "all"))
    if len({photograph.key for photograph in photographs}) < len(photographs):
        raise MaskFolderError(f"{folder / 'images'} has two images of one name, but one mask")
    return tuple(photographs)


def _read_manifest(folder: Path) -> tuple[MaskedPhotograph, ...]:
    path = folder / "manifest.csv"
    rows = list(csv.DictReader(_read_text(path).splitlines()))
    if not rows or not {"id", "fold"} <= rows[0].keys():
        raise MaskFolderError(f"{path} needs rows with the columns id and fold")
    images = {image.stem: image for image in _images(folder)}
    photographs = []
    for row in rows:
        key = row["id"]
        mask = folder / "masks" / f"{key}.png"
        if key not in images or not mask.is_file():
            missing = mask if key in images else folder / "images" / f"{key}.jpg"
            raise MaskFolderError(f"{path} lists {key!r}, but {missing} is missing")
        photographs.append(MaskedPhotograph(key, images[key], mask, row["fold"]))
    if len({photograph.key for photograph in photographs}) < len(photographs):
        raise MaskFolderError(f"{path} lists an id twice")
    return tuple(photographs)
