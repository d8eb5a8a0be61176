"""Labels as indexed PNGs with PASCAL VOC's palette: one value a pixel."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.palette import palette
from fmbseg.files import encode
from fmbseg.labels.formats.exported import PNG, Exported, drawn, export_folder, stems, survey
from fmbseg.vocabulary import meaning_of_name
from fmbseg.written import check_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labels.collection import LabelCollection

VOID = 255
"""Value of pixels that no mask covers; VOC's tools leave them out of training and scores."""
_MEANING = {"background": 0, "ignore": VOID}


def export_png(labels: LabelCollection, folder: str | Path) -> Exported:
    """Write one PNG per photograph: values from 1 are classes, 255 means no label, 0 is background.

    Where masks overlap, the one on top counts (:meth:`fmbseg.labels.record.LabeledImage.label_map`); masks
    that were not drawn for training are left out. ``classes.txt`` has one line per value: the value, a tab,
    the class's name; 0 is "background", as in VOC, and 255 "ignore". Classes whose names mean one of the two
    (:func:`~fmbseg.vocabulary.meaning_of_name`) have that value; without one, 0 is never used.

    Args:
        labels: a label set, or a collection derived from one.
        folder: to write to; photographs in folders come to lie in folders. Nothing in it is replaced that an
            earlier export did not write.

    Returns:
        The folder, and what was written and left out, counted.

    Raises:
        ValueError: more than 254 classes, or two photographs whose names differ in their extension alone.
            Nothing was written.
        PhotographError: a photograph was changed since it was labelled. Nothing was written.
        WouldReplaceError: a file that this export did not write is in the way. Nothing was written.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    names = labels.vocabulary.names
    values = _values(names)
    check_folder(folder, PNG, ["classes.txt"])  # before the photographs are gone through
    found = survey(labels, folder, for_training=True, photographs_needed=False)
    places = {path: f"{stem}.png" for path, stem in stems(found.photographs).items()}
    with export_folder(folder, PNG, found.photographs.values()) as out:
        out.check([*places.values(), "classes.txt"])
        for image in labels:
            out.write(places[image.path], _png(values[drawn(image, for_training=True).label_map()]))
        out.write("classes.txt", encode(_classes(names, values)))
    return found.counts.warn()


def _values(names: Sequence[str]) -> NDArray[np.uint8]:
    """The value of each class and, last, that of no class."""
    meanings = [meaning_of_name(name) for name in names]
    count = meanings.count(None)
    if count >= VOID:
        raise ValueError(
            f"an indexed PNG holds at most {VOID - 1} classes, the vocabulary has {count}: filter the "
            "labels' classes into a set of a smaller vocabulary, or export to COCO or datasets"
        )
    own = iter(range(1, VOID))
    values = [_MEANING[meaning] if meaning else next(own) for meaning in meanings]
    return np.array([*values, VOID], np.uint8)  # the last is where -1 points to


def _classes(names: Sequence[str], values: NDArray[np.uint8]) -> str:
    named = {**dict(zip(values.tolist(), names, strict=False)), 0: "background", VOID: "ignore"}
    return "".join(f"{value}\t{name}\n" for value, name in sorted(named.items()))


def _png(values: NDArray[np.uint8]) -> bytes:
    png = Image.fromarray(values)
    black = np.zeros((1, 3), np.uint8)
    png.putpalette(np.concatenate([black, palette(VOID)]).tobytes())
    file = BytesIO()
    png.save(file, format="PNG")
    return file.getvalue()
