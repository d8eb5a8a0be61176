"""What all exports share: the check beforehand, where files go, and what was written and left out."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fmbseg.labels.record import MissingPhotographError
from fmbseg.written import WouldReplaceError, WrittenFiles, read_marker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage, PhotographFile


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        path: of the file, or of the folder.
        photographs: number of photographs that were written, or whose labels were.
        masks: number of masks that were written.
        points: of all polygons, where the format has any.
        empty_masks: number of masks without a pixel, which are never written.
        masks_not_drawn: number of masks left out because they were not drawn for training (training formats
            only).
        without_mask: photographs in which a class was found, but of which no mask is left.
        left_out: how many of these were left out because the format would treat them as having no object.
        converted: photographs that were written as PNG because the format's tools do not read their format.
        validation: photographs for validation.
        not_compared: missing photographs, which could not be checked for changes.

    Example:
        >>> from pathlib import Path
        >>> print(Exported(Path("coco.json"), photographs=3, masks=7, empty_masks=1))
        coco.json: 3 photographs, 7 masks; left out: 1 mask without a pixel
    """

    path: Path
    photographs: int = 0
    masks: int = 0
    points: int = 0
    empty_masks: int = 0
    masks_not_drawn: int = 0
    without_mask: int = 0
    left_out: int = 0
    converted: int = 0
    validation: int = 0
    not_compared: int = 0

    def __str__(self) -> str:
        written = [_counted(self.photographs, "photograph"), _counted(self.masks, "mask")]
        if self.validation:
            written[0] += f" ({self.validation} for validation)"
        if self.converted:
            written[0] += f" ({self.converted} as PNG)"
        if self.points:
            written[1] += f" ({_counted(self.points, 'point')})"
        missing = [
            (self.empty_masks, "mask", "without a pixel"),
            (self.masks_not_drawn, "mask", "not drawn for training"),
            (self.left_out, "photograph", "with a class but no mask"),
        ]
        told = ", ".join(f"{_counted(count, what)} {why}" for count, what, why in missing if count)
        return f"{self.path}: {', '.join(written)}{f'; left out: {told}' if told else ''}"

    def warn(self) -> Exported:
        """Warn of anything surprising; return ``self``."""
        nothing = (
            "a class was found there but no mask is left, which this format would treat as having no object"
        )
        surprises = [
            (self.left_out, "photograph", f"left out: {nothing}"),
            (
                self.without_mask - self.left_out,
                "photograph",
                "without a mask, though a class was found there",
            ),
            (self.empty_masks, "mask", "without a pixel left out"),
            (self.not_compared, "photograph", "missing, so that it could not be checked for changes"),
        ]
        for count, what, why in surprises:
            if count:
                warnings.warn(f"{self.path}: {_counted(count, what)} {why}", stacklevel=3)
        return self


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def with_pixels(image: LabeledImage) -> LabeledImage:
    """The record without its empty masks."""
    areas = image.masks.areas
    return image if (areas > 0).all() else image.select(areas > 0)


def drawn(image: LabeledImage, *, for_training: bool) -> LabeledImage:
    """The record with the masks that are written to a format: none of them empty.

    Args:
        image: the record.
        for_training: take only those that were drawn for training.
    """
    image = with_pixels(image)
    return image.select(image.kept) if for_training else image


@dataclass(frozen=True)
class Survey:
    """What an export will write, worked out beforehand.

    Attributes:
        photographs: the path of each, by its path in the labels.
        without_mask: paths of those in which a class was found, but of which no mask will be written.
        counts: numbers of what will be written.
    """

    photographs: dict[str, PhotographFile]
    without_mask: set[str]
    counts: Exported


def survey(labels: LabelCollection, path: Path, *, for_training: bool, photographs_needed: bool) -> Survey:
    """Compare every photograph with its record, and count.

    Args:
        labels: that will be exported.
        path: of what will be written, for the counts.
        for_training: whether only masks that were drawn for training will be written.
        photographs_needed: whether a photograph that is not there is an error.

    Raises:
        PhotographError: a photograph was changed since it was labelled, or its path leads out of the root, or
            one that is needed is not there.
    """
    found = Survey({}, set(), Exported(path))
    counts: Counter[str] = Counter()
    for image in labels:
        some, last = with_pixels(image), drawn(image, for_training=for_training)
        counts["photographs"] += 1
        counts["masks"] += len(last.masks)
        counts["empty_masks"] += len(image.masks) - len(some.masks)
        counts["masks_not_drawn"] += len(some.masks) - len(last.masks)
        if not len(last.masks) and (len(image.masks) or image.detected):
            found.without_mask.add(image.path)
        try:
            found.photographs[image.path] = labels.photograph_of(image)
        except MissingPhotographError:
            if photographs_needed:
                raise
            counts["not_compared"] += 1
            found.photographs[image.path] = labels.image_path(image)
    return replace(found, counts=Exported(path, without_mask=len(found.without_mask), **counts))


YOLO, PNG, DATASETS = "YOLO export", "indexed PNG export", "datasets export"
COCO_FOLDER, LABEL_STUDIO = "COCO folder export", "Label Studio export"
_FOLDERS = {YOLO, PNG, DATASETS, COCO_FOLDER, LABEL_STUDIO}


def set_apart(paths: Sequence[str], val: float, seed: int) -> set[str]:
    """The photographs for validation: a choice that depends on the seed and each path, not on their order.

    Args:
        paths: of all photographs.
        val: share of them, 0 to below 1; none at 0, else at least one and not all.
        seed: of the choice.

    Raises:
        ValueError: ``val`` outside its range, or too few photographs to set any apart.

    Example:
        >>> sorted(set_apart(["a.jpg", "b.jpg", "c.jpg"], 0.34, 0))
        ['b.jpg']
    """
    if not 0 <= val < 1:
        raise ValueError(f"val is {val}: it must be 0, or a share below 1")
    if not val:
        return set()
    if len(paths) < 2:
        raise ValueError(f"val is {val}, but there are too few photographs to set any apart: {len(paths)}")
    count = min(max(1, round(val * len(paths))), len(paths) - 1)

    def lot(path: str) -> bytes:
        return sha256(f"{seed}\n{path}".encode("utf-8", "surrogatepass")).digest()

    return set(sorted(paths, key=lot)[:count])


def stems(paths: Iterable[str]) -> dict[str, str]:
    """Each photograph's path without its extension, for formats with one file per photograph.

    Raises:
        ValueError: two photographs would share one file, see :func:`distinct`.

    Example:
        >>> stems(["deep/dog.jpg"])
        {'deep/dog.jpg': 'deep/dog'}
    """
    found = {path: PurePosixPath(path).with_suffix("").as_posix() for path in paths}
    clash = first_clash(found)
    if clash:
        one, other = clash
        raise ValueError(
            f"{one} and {other} would both be {found[other]} in this format: rename one, or export to COCO"
        )
    return found


def first_clash(places: dict[str, str]) -> tuple[str, str] | None:
    """Find two photographs with the same path, or with paths that some file systems cannot tell apart.

    Args:
        places: for each photograph's path its place; two differ where their letters differ, in any case and
            in any form of Unicode.
    """
    first: dict[str, str] = {}
    for path, place in places.items():
        other = first.setdefault(unicodedata.normalize("NFC", place).casefold(), path)
        if other != path:
            return other, path
    return None


@contextmanager
def export_folder(
    folder: str | Path, kind: str, photographs: Iterable[PhotographFile]
) -> Iterator[WrittenFiles]:
    """Open a folder for an export.

    Args:
        folder: to write to; created if it does not exist.
        kind: of export, :data:`YOLO` or another of those above.
        photographs: that the labels are of.

    Raises:
        WouldReplaceError: the folder holds an export of another kind, or the photographs themselves, as an
            earlier export put them there; nothing was written.
    """
    folder = Path(folder)
    with WrittenFiles(folder, kind) as out:
        listed = read_marker(folder)
        _refuse_another_kind(folder, kind, listed)
        _refuse_own_photographs(folder, listed, photographs)
        yield out


def _refuse_another_kind(folder: Path, kind: str, listed: dict[str, list[dict[str, object]]]) -> None:
    for name, entries in listed.items():
        for entry in entries:
            other = str(entry["kind"])
            if other in _FOLDERS - {kind} and os.path.lexists(folder / name):
                raise WouldReplaceError(
                    f"{folder} holds another export ({other}: {name}): give each its own folder"
                )


def _refuse_own_photographs(
    folder: Path, listed: Collection[str], photographs: Iterable[PhotographFile]
) -> None:
    """An export replaces and removes what the previous one wrote, but never its own photographs."""
    own = {os.path.join(place, name) for place in _names_of(folder) for name in listed}  # noqa: PTH118
    for photograph in photographs:
        if isinstance(photograph, Path) and own & _names_of(photograph):
            raise WouldReplaceError(
                f"{photograph} is a photograph of these labels, and {folder} has it from an earlier export: "
                "give another folder"
            )


def _names_of(path: Path) -> set[str]:
    return {os.path.abspath(path), os.path.realpath(path)}  # noqa: PTH100
