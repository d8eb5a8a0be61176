"""Labels as Ultralytics' YOLO segmentation format: a text file a photograph, a polygon a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.files import encode, telling_of_a_full_disk, write_atomically
from fmbseg.labels.formats.places import stems
from fmbseg.labels.outlines import outlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage


def export_yolo(labels: LabelCollection, folder: str | Path) -> Path:
    """Write labels so that ``yolo segment train data=FOLDER/data.yaml`` takes them.

    ``labels/<photograph>.txt`` has a line a kept mask: the class's index, then x and y of its outline, as
    fractions of width and height. Where a mask has several parts, a line without width leads from one to the
    next and back, as Ultralytics' own converter does. ``images/`` holds links to the photographs, or copies
    where links cannot be made; ``data.yaml`` the names.

    Args:
        labels: a label set, or what was made of one.
        folder: to write to.

    Returns:
        The path of ``data.yaml``.

    Raises:
        ValueError: two photographs whose names differ in their extension alone.
        FileNotFoundError: a photograph is not there.
        OSError: a file cannot be written.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    places = stems(labels)
    for image in labels:
        text = folder / "labels" / f"{places[image.path]}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(text, encode("".join(_lines(image))))
        _link(labels.image_path(image), folder / "images" / image.path)
    data = folder / "data.yaml"
    names = (f"  {index}: {_quoted(name)}\n" for index, name in enumerate(labels.vocabulary.names))
    header = f"path: {_quoted(str(folder))}\ntrain: images\nval: images\nnames:\n"
    write_atomically(data, encode(header + "".join(names)))
    return data


def joined(polygons: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
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
    return np.concatenate([*there, *back])


def _quoted(text: str) -> str:
    """In YAML's double quotes, which are JSON's but for surrogates."""
    return json.dumps(text, ensure_ascii=False)


def _lines(image: LabeledImage) -> list[str]:
    height, width = image.size
    lines = []
    for index in np.flatnonzero(image.kept):
        polygons = outlines(image.masks.decode(int(index)))
        if polygons:
            points = (joined(polygons) / (width, height)).ravel()
            lines.append(f"{image.class_ids[index]} {' '.join(f'{value:.6g}' for value in points)}\n")
    return lines


def _link(photograph: Path, link: Path) -> None:
    if not photograph.is_file():
        raise FileNotFoundError(f"{photograph} is not there: put it back, or label again")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(photograph.absolute())
    except OSError:  # a system or a file system without links
        with telling_of_a_full_disk(link):
            shutil.copyfile(photograph, link)
