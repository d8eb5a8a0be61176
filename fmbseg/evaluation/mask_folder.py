"""A folder of photographs with class masks, and the words for its classes."""

from __future__ import annotations

import csv
import io
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fmbseg.evaluation.mask_files import DataSetError, read_image, read_target, value_table
from fmbseg.files import check_inside
from fmbseg.image_files import PassedOver, find_images, passed_over
from fmbseg.images import ImageError
from fmbseg.sources.stored_path import name_from, path_of
from fmbseg.vocabulary import meaning_of_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.sources.stored_path import AnyPath


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
    image: AnyPath
    mask: AnyPath
    fold: str


class MaskFolder:
    """Photographs with class masks.

    The folder is laid out so::

        manifest.csv       a row a photograph; the columns id and fold are read. May be left out: then all
                           images are of the fold "all"
        classes.txt        a line a class: the value in the masks, a tab, the name
        images/<id>.jpg    or another image extension; an id may have folders, "x/a". One without folders
                           may also name an image in a folder, if it is the only one of that name
        masks/<id>.png     8 bits, one channel

    Values whose names mean background or pixels that do not count (see
    :func:`~fmbseg.vocabulary.meaning_of_name`), or start with "ignore", belong to no class.

    Args:
        folder: that holds them, or its URI.

    Attributes:
        names: of the classes, in the order of classes.txt.
        background: the values whose names mean background.
        table: for each value of a mask its class, as
            :func:`~fmbseg.evaluation.mask_files.value_table` makes it.
        photographs: in the order of manifest.csv.
        passed_over: files beside the images that may be photographs too and are not read; none where
            manifest.csv says what counts.

    Raises:
        MaskFolderError: a file is missing, or is not as described above.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = path_of(folder)
        values = _read_classes(self.folder / "classes.txt")
        words = {value: name for value, name in values.items() if not _is_no_class(name)}
        if not words:
            raise MaskFolderError(
                f"{self.folder / 'classes.txt'} names no class besides background and ignore"
            )
        self.names = tuple(words.values())
        background = {value for value, name in values.items() if meaning_of_name(name) == "background"}
        self.background = frozenset(background)
        self.table = value_table({value: index for index, value in enumerate(words)}, list(values))
        listed = (self.folder / "manifest.csv").is_file()
        self.photographs = _read_manifest(self.folder) if listed else _all_images(self.folder)
        self.passed_over = PassedOver()
        if isinstance(self.folder, Path) and not listed:
            self.passed_over = passed_over(self.folder / "images")

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
        image = read_image(photograph.image)
        size = (image.shape[0], image.shape[1])
        return image, read_target(photograph.mask, self.table, size, photograph.image, "classes.txt")


def _is_no_class(name: str) -> bool:
    return meaning_of_name(name) is not None or name.casefold().startswith("ignore")


def _read_text(path: AnyPath) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ImageError, UnicodeDecodeError) as error:
        raise MaskFolderError(f"{path} cannot be read: {error}") from error


def _read_classes(path: AnyPath) -> dict[int, str]:
    classes: dict[int, str] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        value, tab, name = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not value.isdecimal() or len(value) > 3 or int(value) > 255 or not name.strip():
            raise MaskFolderError(
                f"{path}, line {number}: {line!r} is not a value of 0 to 255, a tab and a name"
            )
        if int(value) in classes or name.strip() in classes.values():
            raise MaskFolderError(f"{path}, line {number}: {line!r} repeats a value or a name")
        classes[int(value)] = name.strip()
    return classes


def _images(folder: AnyPath) -> Sequence[AnyPath]:
    if not isinstance(folder, Path):
        return (folder / "images").images()
    try:
        return find_images(folder / "images")
    except ImageError as error:
        raise MaskFolderError(f"{folder} has no photographs: {error}") from error


def _all_images(folder: AnyPath) -> tuple[MaskedPhotograph, ...]:
    """Every image, named by its path below images/ without its extension."""
    photographs: dict[str, MaskedPhotograph] = {}
    for image in _images(folder):
        key = _stem(image, folder)
        mask = folder / "masks" / f"{key}.png"
        if not mask.is_file():
            raise MaskFolderError(f"{image} has no mask: {mask} is missing")
        if key in photographs:
            raise MaskFolderError(
                f"{photographs[key].image} and {image} are two images with the same name and one mask, {mask}"
            )
        photographs[key] = MaskedPhotograph(key, image, mask, "all")
    return tuple(photographs.values())


def _stem(image: AnyPath, folder: AnyPath) -> str:
    return PurePosixPath(name_from(folder / "images", image)).with_suffix("").as_posix()


def _read_manifest(folder: AnyPath) -> tuple[MaskedPhotograph, ...]:
    path = folder / "manifest.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(_read_text(path), newline="")))
    except csv.Error as error:
        raise MaskFolderError(f"{path} is not a table that can be read: {error}") from error
    if not rows or not {"id", "fold"} <= rows[0].keys():
        raise MaskFolderError(f"{path} needs rows with the columns id and fold")
    images = _ImagesById(folder)
    photographs: dict[str, MaskedPhotograph] = {}
    for number, row in enumerate(rows, start=1):
        key, fold = row["id"], row["fold"]
        where = f"{path}, row {number}"
        if not key or not fold:
            raise MaskFolderError(f"{where} has no {'fold' if key else 'id'}")
        if key in photographs:
            raise MaskFolderError(f"{where}: the id {key!r} is listed twice")
        try:
            mask = folder / "masks" / check_inside(str(folder / "masks"), f"{key}.png")
            image = images.find(key)
        except ValueError as error:
            raise MaskFolderError(f"{where}: {error}") from error
        if not mask.is_file():
            raise MaskFolderError(f"{where} lists {key!r}, but {mask} is missing")
        photographs[key] = MaskedPhotograph(key, image, mask, fold)
    return tuple(photographs.values())


class _ImagesById:
    """Finds the image that an id refers to in a folder."""

    def __init__(self, folder: AnyPath) -> None:
        self.folder = folder
        self._by_path: dict[str, list[AnyPath]] = {}
        self._by_name: dict[str, list[AnyPath]] = {}
        for image in _images(folder):
            stem = _stem(image, folder)
            self._by_path.setdefault(stem, []).append(image)
            self._by_name.setdefault(PurePosixPath(stem).name, []).append(image)

    def find(self, key: str) -> AnyPath:
        """The one image of an id.

        Raises:
            ValueError: there is none, or there are several.
        """
        found = self._by_path.get(key) or ([] if "/" in key else self._by_name.get(key, []))
        if len(found) > 1:
            raise ValueError(
                f"the id {key!r} may be {found[0]} or {found[1]}: rename one, or write its folder in the id"
            )
        if found:
            return found[0]
        near = _near(key, self._by_path)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"lists {key!r}, but {self.folder / 'images' / f'{key}.jpg'} is missing{meant}")


def _near(key: str, known: Iterable[str]) -> list[str]:
    """Ids that differ only in case, Unicode form, slashes or an extension."""

    def folded(text: str) -> str:
        return unicodedata.normalize("NFC", text).casefold().replace("\\", "/").strip()

    wanted = {folded(key), folded(key).rpartition(".")[0]}
    return sorted(one for one in known if folded(one) in wanted)[:3]
