"""Labels as indexed PNGs with PASCAL VOC's palette: one value a pixel."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.palette import palette
from fmbseg.files import encode, write_atomically
from fmbseg.labels.formats.places import stems

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.labels.collection import LabelCollection

VOID = 255
"""Value of pixels that no mask covers, which VOC's tools leave out of training and of scores."""


def export_png(labels: LabelCollection, folder: str | Path) -> Path:
    """Write one PNG a photograph: value 0 is never used, 1 and on are the classes, 255 is no label.

    Of overlapping masks the one on top counts (:meth:`fmbseg.labels.record.LabeledImage.label_map`); masks
    that were not drawn for training are left out. ``classes.txt`` has a line a value: the value, a tab, the
    class's name; 0 is "background", as in VOC, and 255 "ignore".

    Args:
        labels: a label set, or what was made of one.
        folder: to write to; photographs in folders come to lie in folders.

    Returns:
        The folder.

    Raises:
        ValueError: more than 254 classes, or two photographs whose names differ in their extension alone.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    names = labels.vocabulary.names
    if len(names) >= VOID:
        raise ValueError(
            f"an indexed PNG holds at most {VOID - 1} classes, the vocabulary has {len(names)}: filter the "
            "labels' classes into a set of a smaller vocabulary, or export to COCO or datasets"
        )
    places = stems(labels)
    for image in labels:
        png = folder / f"{places[image.path]}.png"
        png.parent.mkdir(parents=True, exist_ok=True)
        values = image.label_map() + 1
        values[values == 0] = VOID
        write_atomically(png, _png(values.astype(np.uint8)))
    folder.mkdir(parents=True, exist_ok=True)
    lines = [(0, "background"), *enumerate(names, start=1), (VOID, "ignore")]
    write_atomically(folder / "classes.txt", encode("".join(f"{value}\t{name}\n" for value, name in lines)))
    return folder


def _png(values: NDArray[np.uint8]) -> bytes:
    png = Image.fromarray(values)
    black = np.zeros((1, 3), np.uint8)
    png.putpalette(np.concatenate([black, palette(VOID)]).tobytes())
    file = BytesIO()
    png.save(file, format="PNG")
    return file.getvalue()
