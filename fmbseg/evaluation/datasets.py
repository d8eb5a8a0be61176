"""Data sets to measure on: the benchmarks in their own layouts, and any folder of images and masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.evaluation.layouts import LAYOUTS, Encoding, Layout
from fmbseg.evaluation.mask_files import DataSetError, read_image, read_target
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.files import check_inside
from fmbseg.images import ImageError, PassedOver
from fmbseg.sources.stored_path import name_from, path_of
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import BACKGROUND, benchmark_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.sources.stored_path import AnyPath

FOLDER, FOLDER_WITH_BACKGROUND = "folder", "folder_background"


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Args:
        key: its name within the set.
        image: its file.
        mask: the file with the class of each pixel.
    """

    key: str
    image: AnyPath
    mask: AnyPath


@dataclass(frozen=True, eq=False)
class SegmentationData:
    """A data set with its classes; only names and paths are read before :meth:`load`.

    Args:
        name: of the set.
        root: folder that was asked for.
        split: part of the set.
        names: of the classes, as the benchmark writes them; background, if it counts, comes first.
        clean_names: the same as a person writes them.
        samples: in the set's own order.
        table: the class that each value of a mask means, (256,).
        listed_in: where the values are listed, for messages.
        passed_over: files that may be photographs of the set and are not read.
    """

    name: str
    root: AnyPath
    split: str
    names: tuple[str, ...]
    clean_names: tuple[str, ...]
    samples: tuple[Sample, ...]
    table: NDArray[np.int32]
    listed_in: str
    passed_over: PassedOver = field(default_factory=PassedOver)

    @property
    def has_background(self) -> bool:
        """Whether background is a class that counts."""
        return self.names[0] == BACKGROUND

    def load(self, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Read an image and its target.

        Returns:
            The image (H, W, 3), and for each pixel its class, or -1 where it does not count, (H, W).

        Raises:
            ImageError: the image cannot be read.
            DataSetError: the mask cannot be read, has another size, or a value that means nothing.
        """
        image = read_image(sample.image)
        size = (image.shape[0], image.shape[1])
        return image, read_target(sample.mask, self.table, size, sample.image, self.listed_in)


def data_names() -> list[str]:
    """Every name that :func:`open_data` knows."""
    return [*LAYOUTS, FOLDER, FOLDER_WITH_BACKGROUND]


def open_data(name: str, root: str | Path, *, split: str | None = None) -> SegmentationData:
    """Find the files of a data set.

    Args:
        name: of a benchmark; or ``folder`` for a folder of images and masks as
            :class:`~fmbseg.evaluation.mask_folder.MaskFolder` describes it, ``folder_background`` if its
            background counts as a class.
        root: folder that holds it, or its URI: the data folder of TCL and mmsegmentation, or the set's own.
        split: part of the set; by default the one usually measured on.

    Raises:
        UnknownNameError: there is no such set.
        DataSetError: a file is missing; the message says which, and where to get the set.
    """
    place = path_of(root)
    if name in (FOLDER, FOLDER_WITH_BACKGROUND):
        return _open_folder(name, place, split)
    if name not in LAYOUTS:
        raise UnknownNameError("data set", name, data_names())
    layout = LAYOUTS[name]
    chosen = split or layout.split
    base = _base(name, layout, place, chosen)
    keys = _keys(name, layout, base, chosen)
    encoding = _encoding(name, layout, base, chosen, keys)
    samples = tuple(_sample(key, base, chosen, layout, encoding) for key in keys)
    missing = [path for sample in samples for path in (sample.image, sample.mask) if not path.is_file()]
    if missing:
        raise _incomplete(name, layout, f"{missing[0]} is missing ({len(missing)} files in all)")
    classes = layout.classes
    return SegmentationData(
        name=name,
        root=place,
        split=chosen,
        names=tuple(benchmark_classes(classes)),
        clean_names=tuple(benchmark_classes(f"{classes}:clean")),
        samples=samples,
        table=encoding.table(),
        listed_in=f"the set {name}",
    )


def _sample(key: str, base: AnyPath, split: str, layout: Layout, encoding: Encoding) -> Sample:
    try:
        image, mask = (
            base / check_inside(str(base), _fill(pattern, split, key))
            for pattern in (layout.image, encoding.mask)
        )
    except ValueError as error:
        raise DataSetError(f"the key {key!r} names no image of the set: {error}") from error
    return Sample(key, image, mask)


def _fill(pattern: str, split: str, key: str) -> str:
    return pattern.replace("{split}", split).replace("{key}", key)


def _base(name: str, layout: Layout, root: AnyPath, split: str) -> AnyPath:
    """The first folder that holds what is needed: the listing, or the folder of images."""
    needed = layout.listing or layout.image.partition("{key}")[0]
    for base in layout.bases:
        if (root / base / _fill(needed, split, "")).exists():
            return root / base
    if not root.is_dir():
        raise _incomplete(name, layout, f"{root} does not exist")
    looked = ", ".join(str(root / base / _fill(needed, split, "")) for base in layout.bases)
    raise _incomplete(name, layout, f"none of these exists: {looked}")


def _keys(name: str, layout: Layout, base: AnyPath, split: str) -> list[str]:
    if layout.listing is not None:
        listing = base / _fill(layout.listing, split, "")
        try:
            lines = listing.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ImageError, UnicodeDecodeError) as error:
            raise _incomplete(name, layout, f"{listing} cannot be read ({error})") from error
        keys = [line.split()[0] for line in lines if line.strip()]
        if not keys:
            raise _incomplete(name, layout, f"{listing} is empty")
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise DataSetError(f"{listing} lists {twice[0]!r} twice: each image counts once")
        return keys
    before, after = _fill(layout.image, split, "\0").split("\0")
    found = sorted(name_from(base, path) for path in base.glob(before + layout.key + after))
    if not found:
        raise _incomplete(name, layout, f"no image {base / (before + layout.key + after)}")
    return [path[len(before) : -len(after)] for path in found]


def _encoding(name: str, layout: Layout, base: AnyPath, split: str, keys: list[str]) -> Encoding:
    """The best form of the masks that exists for the first image."""
    for encoding in layout.encodings:
        if (base / _fill(encoding.mask, split, keys[0])).is_file():
            return encoding
    wanted = " or ".join(str(base / _fill(encoding.mask, split, keys[0])) for encoding in layout.encodings)
    raise _incomplete(name, layout, f"{wanted} is missing")


def _incomplete(name: str, layout: Layout, what: str) -> DataSetError:
    return DataSetError(f"the data set {name} is not complete: {what}. Get it here: {layout.source}")


def _open_folder(name: str, root: AnyPath, split: str | None) -> SegmentationData:
    folder = MaskFolder(root if isinstance(root, Path) else str(root))
    folds = sorted({photograph.fold for photograph in folder.photographs})
    chosen = split or ("val" if "val" in folds else folds[0] if len(folds) == 1 else None)
    if chosen is None:
        raise DataSetError(f"{root / 'manifest.csv'} has the folds {folds}: say which with split")
    names, table = folder.names, folder.table
    if name == FOLDER_WITH_BACKGROUND:
        if not folder.background:
            raise DataSetError(f"{root / 'classes.txt'} names no {BACKGROUND!r}: use the data set {FOLDER!r}")
        names = (BACKGROUND, *names)
        table = np.where(table >= 0, table + 1, table).astype(np.int32)
        table[list(folder.background)] = 0
    return SegmentationData(
        name=name,
        root=root,
        split=chosen,
        names=names,
        clean_names=names,
        samples=tuple(Sample(one.key, one.image, one.mask) for one in folder.fold(chosen)),
        table=table,
        listed_in="classes.txt",
        passed_over=folder.passed_over,
    )
