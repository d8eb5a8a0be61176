"""A folder of photographs with class masks, and the words for its classes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.evaluation.confusion import NO_CLASS
from fmbseg.images import find_images, load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MaskFolderError(ValueError):
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

        manifest.csv       a row a photograph; the columns id and fold are read
        classes.txt        a line a class: the value in the masks, a tab, the name
        images/<id>.jpg    or another image extension
        masks/<id>.png     8 bits, one channel

    Values named "background", or whose name starts with "ignore", belong to no class.

    Args:
        folder: that holds them.

    Attributes:
        names: of the classes, in the order of classes.txt.
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
        self._class_of = np.full(256, _UNKNOWN, dtype=np.int32)
        self._class_of[list(values)] = NO_CLASS
        self._class_of[list(words)] = np.arange(len(words))
        self.photographs = _read_manifest(self.folder)

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
            MaskFolderError: the mask cannot be read, has another size, or a value that is not in classes.txt.
        """
        image = load_image(photograph.image)
        values = _read_mask(photograph.mask)
        if values.shape != image.shape[:2]:
            raise MaskFolderError(
                f"{photograph.mask} has size {values.shape}, but {photograph.image} {image.shape[:2]} "
                "(height, width): they must be the same"
            )
        target = self._class_of[values]
        if np.any(target == _UNKNOWN):
            unknown = np.unique(values[target == _UNKNOWN]).tolist()
            raise MaskFolderError(
                f"{photograph.mask} has the values {unknown}, which classes.txt does not list"
            )
        return image, target


_UNKNOWN = -2


def _is_no_class(name: str) -> bool:
    return name == "background" or name.startswith("ignore")


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


def _read_manifest(folder: Path) -> tuple[MaskedPhotograph, ...]:
    path = folder / "manifest.csv"
    rows = list(csv.DictReader(_read_text(path).splitlines()))
    if not rows or not {"id", "fold"} <= rows[0].keys():
        raise MaskFolderError(f"{path} needs rows with the columns id and fold")
    images = {image.stem: image for image in find_images(folder / "images")}
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


def _read_mask(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as mask:
            if mask.mode not in ("L", "P"):
                raise MaskFolderError(
                    f"{path} is of mode {mask.mode}: a mask has one channel of 8 bits, the classes' values"
                )
            return np.asarray(mask, dtype=np.uint8)
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises SyntaxError on broken files
        raise MaskFolderError(f"{path} cannot be read: {error}") from error
