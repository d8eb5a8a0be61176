"""Labels in Ultralytics' YOLO segmentation format: one text file per photograph, one polygon per line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.files import encode
from fmbseg.images import load_image
from fmbseg.labels.formats.exported import (
    YOLO,
    Exported,
    drawn,
    export_folder,
    first_clash,
    set_apart,
    survey,
)
from fmbseg.labels.formats.outlined import Outlines, outlined, points_of
from fmbseg.labels.record import photograph_bytes
from fmbseg.written import check_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage, PhotographFile
    from fmbseg.written import WrittenFiles

# What YAML does not take as it is within quotes, and JSON does.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def export_yolo(
    labels: LabelCollection,
    folder: str | Path,
    *,
    copy: bool = False,
    val: float = 0.0,
    seed: int = 0,
    simplify: float = 0.0,
) -> Exported:
    """Write labels so that ``yolo segment train data=FOLDER/data.yaml`` takes them.

    ``labels/<photograph>.txt`` has one line per kept mask: the class's index, then x and y of its outline, as
    fractions of width and height. Where a mask has several parts, a line without width leads from one to the
    next and back, as Ultralytics' own converter does. ``images/`` holds the photographs, ``data.yaml`` the
    names. Folders named ``images`` in a photograph's path are dropped, because Ultralytics looks
    for labels where the last of them is.

    A photograph in which a class was found, but of which no mask is left, is left out with a warning: YOLO
    would treat it as having no object. One in which no class was found has none. What Ultralytics
    does not read (GIF, JPEG 2000, AVIF and others) is written as PNG.

    Args:
        labels: a label set, or a collection derived from one.
        folder: to write to; only files that an earlier export wrote are replaced.
        copy: copy the photographs, so that the folder can be moved to another machine; else they are links
            to where they lie (copies where links cannot be made).
        val: share of the photographs, 0 to below 1, that is set apart for validation (at least one above 0),
            in ``images/val``; the others lie in ``images/train``. At 0 training and validation are the same.
        seed: of that choice, which depends on each photograph's path and not on their order.
        simplify: pixels; above 0 outlines have few points, as in
            :func:`~fmbseg.labels.formats.coco_export.export_coco`.

    Returns:
        The path of ``data.yaml``, and what was written and left out, counted.

    Raises:
        ValueError: two photographs that would have one place, ``val`` outside its range or of a set of one
            photograph (nothing was written), or overlapping masks whose polygons are to be simplified.
        PhotographError: a photograph is missing, or was changed since it was labelled. Nothing was written.
        WouldReplaceError: a file that this export did not write is in the way. Nothing was written.
        OSError: a file cannot be written.
    """
    set_apart(["a", "b"], val, seed)  # complains of a share that is none before any work
    folder = Path(folder)
    check_folder(folder, YOLO, ["data.yaml"])  # before the photographs are gone through
    found = survey(labels, folder / "data.yaml", for_training=True, photographs_needed=True)
    chosen = {path: place for path, place in found.photographs.items() if path not in found.without_mask}
    entries = _entries(chosen, val, seed)
    points = 0
    with export_folder(folder, YOLO, found.photographs.values()) as out:
        out.check([*(name for one in entries.values() for name in (one.text, one.image)), "data.yaml"])
        for image in labels:
            if image.path in entries:
                one = entries[image.path]
                last, polygons = outlined(drawn(image, for_training=True), simplify)
                points += points_of(polygons)
                out.write(one.text, encode("".join(_lines(last, polygons))))
                _write_photograph(out, one, copy=copy)
        out.write("data.yaml", encode(_data(labels.vocabulary.names, split=val > 0)))
    done = replace(
        found.counts,
        photographs=len(entries),
        points=points,
        left_out=len(found.without_mask),
        converted=sum(one.converted for one in entries.values()),
        validation=sum(one.validation for one in entries.values()),
    )
    return done.warn()


@dataclass(frozen=True)
class _Entry:
    """One photograph: its path, and the names of its files relative to the export's folder."""

    photograph: PhotographFile
    image: str
    text: str
    converted: bool
    validation: bool


def _entries(photographs: dict[str, PhotographFile], val: float, seed: int) -> dict[str, _Entry]:
    entries = {}
    for path, (part, stem) in places_of(list(photographs), val=val, seed=seed).items():
        converted = not is_read_by_yolo(photographs[path])
        image = f"images/{part}{stem}{'.png' if converted else Path(path).suffix}"
        text = f"labels/{part}{stem}.txt"
        entries[path] = _Entry(photographs[path], image, text, converted, validation=part == "val/")
    return entries


def _write_photograph(out: WrittenFiles, entry: _Entry, *, copy: bool) -> None:
    if entry.converted:
        with out.path(entry.image, photograph=True) as temporary:
            Image.fromarray(load_image(entry.photograph)).save(temporary, format="PNG")
    elif copy:
        out.copy(entry.image, entry.photograph)
    else:
        out.link(entry.image, entry.photograph)


def _data(names: Sequence[str], *, split: bool) -> str:
    """``data.yaml``, without the field ``path``: Ultralytics then resolves paths from the file's folder."""
    train, val = ("images/train", "images/val") if split else ("images", "images")
    listed = "".join(f"  {index}: {_quoted(name)}\n" for index, name in enumerate(names))
    return f"train: {train}\nval: {val}\nnames:\n{listed}"


def _quoted(text: str) -> str:
    """In YAML's double quotes, which differ from JSON's in a few characters only."""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def joined(polygons: Outlines) -> NDArray[np.int32] | NDArray[np.float64]:
    """One polygon of several: from each to the next along a line without width, and back at the end.

    Args:
        polygons: each (P, 2), at least one.

    Returns:
        (P, 2). By the even-odd rule it has the pixels of all of them.

    Example:
        >>> joined([np.array([[0, 0], [1, 0], [1, 1]]), np.array([[5, 5], [6, 5], [6, 6]])]).tolist()
        [[0, 0], [1, 0], [1, 1], [0, 0], [5, 5], [6, 5], [6, 6], [5, 5]]
    """
    if len(polygons) == 1:
        return polygons[0]
    there = [np.concatenate([polygon, polygon[:1]]) for polygon in polygons]
    back = [polygon[:1] for polygon in reversed(polygons[1:-1])]
    whole: NDArray[np.float64] = np.concatenate([*there, *back])
    return whole


def _lines(image: LabeledImage, polygons: list[Outlines]) -> list[str]:
    height, width = image.size
    lines = []
    for class_id, each in zip(image.class_ids.tolist(), polygons, strict=True):
        points = (joined(each) / (width, height)).ravel()
        lines.append(f"{class_id} {' '.join(f'{value:.6g}' for value in points)}\n")
    return lines


# What every version reads; newer ones read AVIF, HEIC and JPEG 2000, too.
_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
_FORMATS = {"BMP", "JPEG", "MPO", "PNG", "TIFF", "WEBP"}
_IMAGES = "images"


def is_read_by_yolo(photograph: PhotographFile) -> bool:
    """Whether Ultralytics reads a photograph, judged by its suffix and by its format according to Pillow.

    Raises:
        OSError: it cannot be read, or is not an image.
    """
    if PurePosixPath(photograph.name).suffix.lower() not in _SUFFIXES:
        return False
    with Image.open(BytesIO(photograph_bytes(photograph))) as image:
        return image.format in _FORMATS


def places_of(paths: Sequence[str], *, val: float, seed: int) -> dict[str, tuple[str, str]]:
    """Where each photograph and its labels are written.

    Args:
        paths: of the photographs.
        val: share of them for validation; none at 0, else at least one and not all.
        seed: of the random choice.

    Returns:
        For each path its part, ``"train/"``, ``"val/"`` or ``""``, and its path there, without a suffix and
        without folders named ``images``.

    Raises:
        ValueError: two photographs would have the same path, or there are too few to set some apart.

    Example:
        >>> places_of(["train/images/a.jpg"], val=0, seed=0)
        {'train/images/a.jpg': ('', 'train/a')}
    """
    stems = _stems(paths)
    if not val:
        return {path: ("", stem) for path, stem in stems.items()}
    apart = set_apart(paths, val, seed)
    return {path: ("val/" if path in apart else "train/", stem) for path, stem in stems.items()}


def _stems(paths: Sequence[str]) -> dict[str, str]:
    """Each place, with folders named ``images`` left out, or called ``images_`` where two would be one."""
    found = {path: _stem(path, []) for path in paths}
    if first_clash(found):
        found = {path: _stem(path, ["images_"]) for path in paths}
    clash = first_clash(found)
    if clash is None:
        return found
    one, other = clash
    raise ValueError(
        f"{one} and {other} would both be {found[other]} in this format: rename one, or export to COCO"
    )


def _stem(path: str, instead: list[str]) -> str:
    plain = PurePosixPath(path).with_suffix("")
    parts: list[str] = []
    for folder in plain.parts[:-1]:
        # Ultralytics passes over what is hidden.
        parts += (
            instead if folder == _IMAGES else [folder.replace(".", "_", 1) if folder[0] == "." else folder]
        )
    return "/".join([*parts, plain.name.replace(".", "_", 1) if plain.name[0] == "." else plain.name])
