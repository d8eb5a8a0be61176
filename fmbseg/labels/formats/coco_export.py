"""Labels as COCO JSON, for annotation tools and everything else that reads COCO; sealed by a checksum."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import fmbseg
from fmbseg.files import encode, sha256_of
from fmbseg.labels.formats.exported import survey, with_pixels
from fmbseg.labels.formats.outlined import flat, outlined, points_of
from fmbseg.labels.record import STAGES
from fmbseg.labels.shards import nulls
from fmbseg.written import check_single, single_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.formats.exported import Exported
    from fmbseg.labels.record import LabeledImage

Shape = Literal["rle", "polygons"]
KIND = "COCO export"


def export_coco(
    labels: LabelCollection, path: str | Path, *, shape: Shape = "rle", simplify: float = 0.0
) -> Exported:
    """Write labels as one COCO JSON file, holding one photograph in memory at a time.

    Ids are unique over the whole set: photographs, annotations and categories each count from 1. A category's
    id is the class's index plus 1. What COCO has no field for is kept in each annotation's ``attributes``
    (stage, scores, certainty, query points, whether the mask was drawn for training), in the image's entry
    (the photograph's hash and its detected classes), and in ``info`` (the whole vocabulary). So
    :func:`~fmbseg.labels.formats.coco_import.import_coco` gets back equal labels, and by the checksum at the
    end of the file it knows whether anything was changed in between.

    Masks without a pixel are left out. Photographs in which a class was found but of which there is no mask
    are counted in a warning: tools treat a photograph without annotations as having no object.

    Args:
        labels: a label set, or a collection derived from one.
        path: of the JSON file; one that an earlier export wrote is replaced.
        shape: ``"rle"`` (compressed run lengths), or ``"polygons"``, which more tools can edit. Both hold the
            same pixels: a polygon runs along the edges of pixels, and a region with a hole is cut in two.
        simplify: pixels; above 0, polygons have few points and follow the masks to within about this, see
            :func:`~fmbseg.coverage.simplified_outlines`. Masks must not overlap
            (:func:`~fmbseg.labels.regions.class_regions`).

    Returns:
        The path of the file, and what was written and left out, counted.

    Raises:
        ValueError: an unknown ``shape``; or run lengths or overlapping masks that are to be simplified.
        PhotographError: a photograph was changed since it was labelled.
        WouldReplaceError: ``path`` is a folder, or a file that an export did not write.
        OSError: the file cannot be written.
    """
    check_shape(shape, simplify)
    path = Path(path)
    check_single(path, KIND)
    found = survey(labels, path, for_training=False, photographs_needed=False)
    with single_file(path, KIND) as temporary:
        points = write_coco(temporary, labels, shape, simplify)
    return replace(found.counts, points=points).warn()


def check_shape(shape: str, simplify: float) -> None:
    """Raise unless masks can be written in this shape; for the arguments see :func:`export_coco`."""
    if shape not in get_args(Shape):
        raise ValueError(f"shape is {shape!r}: it must be one of {', '.join(get_args(Shape))}")
    if simplify and shape == "rle":
        raise ValueError(f"simplify is {simplify}, but run lengths cannot be simplified: ask for polygons")


def write_coco(
    path: Path,
    labels: LabelCollection,
    shape: Shape,
    simplify: float,
    paths: Collection[str] | None = None,
) -> int:
    """Write a sealed file, without a check of what is there.

    Args:
        path: of the file.
        labels: to write.
        shape: of masks.
        simplify: as in :func:`export_coco`.
        paths: of the photographs that are written; by default all.

    Returns:
        Points of all polygons.
    """
    with path.open("wb") as file:
        points = _write(file, labels, _Chosen(labels, paths), shape, simplify)
    with path.open("ab") as file:
        file.write(seal_coco(sha256_of(path)))
    return points


class _Chosen:
    """Some of the photographs, or all; to be gone through any number of times."""

    def __init__(self, labels: LabelCollection, paths: Collection[str] | None) -> None:
        self._labels, self._paths = labels, paths

    def __iter__(self) -> Iterator[LabeledImage]:
        return (image for image in self._labels if self._paths is None or image.path in self._paths)


def _write(file: BinaryIO, labels: LabelCollection, images: _Chosen, shape: Shape, simplify: float) -> int:
    names = labels.vocabulary.names
    file.write(b'{\n"info": ')
    file.write(_json({"description": "Pseudo labels of fmbseg", "fmbseg": _about(labels)}))
    file.write(b',\n"licenses": [],\n"categories": ')
    categories = enumerate(names, start=1)
    _write_list(file, ({"id": index, "name": name, "supercategory": ""} for index, name in categories))
    file.write(b',\n"images": ')
    _write_list(file, (_image(image, number, names) for number, image in enumerate(images, start=1)))
    file.write(b',\n"annotations": ')
    points = Counter[str]()
    _write_list(file, _annotations(images, shape, simplify, points))
    return points.total()


def _about(labels: LabelCollection) -> dict[str, Any]:
    return {
        "version": fmbseg.__version__,
        "vocabulary": labels.vocabulary.to_dict(),
        "models": labels.origin.get("models", {}),
        "source": labels.fingerprint,
    }


def _image(image: LabeledImage, number: int, names: Sequence[str]) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": image.path,
        "height": image.size[0],
        "width": image.size[1],
        "sha256": image.sha256,
        "detected": [names[index] for index in image.detected],
        "presences": nulls(image.presences),
    }


def _annotations(
    images: Iterable[LabeledImage], shape: Shape, simplify: float, points: Counter[str]
) -> Iterator[dict[str, Any]]:
    count = 0
    for number, given in enumerate(map(with_pixels, images), start=1):
        image, shapes = _shapes(given, shape, simplify, points)
        areas, boxes = image.masks.areas.tolist(), image.masks.boxes.tolist()
        for index, (x0, y0, x1, y1) in enumerate(boxes):
            count += 1
            yield {
                "id": count,
                "image_id": number,
                "category_id": int(image.class_ids[index]) + 1,
                "segmentation": shapes[index],
                "area": areas[index],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
                "attributes": _attributes(image, index),
            }


def _shapes(
    image: LabeledImage, shape: Shape, simplify: float, points: Counter[str]
) -> tuple[LabeledImage, list[Any]]:
    """What stands for each mask, and the record with masks that are just that."""
    if shape == "rle":
        size = list(image.size)
        return image, [{"size": size, "counts": counts.decode("ascii")} for counts in image.masks.rles]
    image, polygons = outlined(image, simplify)
    points[image.path] += points_of(polygons)
    return image, [flat(each) for each in polygons]


def _attributes(image: LabeledImage, index: int) -> dict[str, Any]:
    return {
        "stage": STAGES[int(image.stages[index])],
        "predicted_iou": float(image.masks.predicted_iou[index]),
        "stability": float(image.masks.stability[index]),
        "similarity": float(image.similarities[index]),
        "kept": bool(image.kept[index]),
        "points": [float(value) for value in image.points[index].ravel()],
        "certainty": nulls(image.certainties[index : index + 1])[0],
    }


def _write_list(file: BinaryIO, entries: Iterable[dict[str, Any]]) -> None:
    """Write a JSON list, one entry per line."""
    between = b"[\n"
    for entry in entries:
        file.write(between + _json(entry))
        between = b",\n"
    file.write(b"[]" if between == b"[\n" else b"\n]")


def _json(content: Any) -> bytes:
    return encode(json.dumps(content, ensure_ascii=False))


_SEAL = b',\n"fmbseg_sha256": "%s"\n}\n'
_SEALED = re.compile(rb',\n"fmbseg_sha256": "([0-9a-f]{64})"\n}\n')
_SAYS_SO = re.compile(rb'"fmbseg(_sha256)?"\s*:')
_BYTES = len(_SEAL % (b"0" * 64))


def seal_coco(content_sha256: str) -> bytes:
    """The end of a file: its last key, which holds the hash of everything before it.

    Args:
        content_sha256: of the file so far, without its closing brace.
    """
    return _SEAL % content_sha256.encode()


def was_exported(content: bytes) -> bool:
    """Whether a file says that fmbseg exported it, whatever became of it since.

    Example:
        >>> was_exported(b'{"info": {"fmbseg": {}}}'), was_exported(b'{"file_name": "fmbseg/1.jpg"}')
        (True, False)
    """
    return _SAYS_SO.search(content) is not None


def is_as_exported(content: bytes) -> bool:
    """Whether a file is, byte for byte, one that fmbseg exported.

    Example:
        >>> before = b'{"images": []'
        >>> whole = before + seal_coco(sha256(before).hexdigest())
        >>> is_as_exported(whole), is_as_exported(whole.replace(b"[]", b"{}"))
        (True, False)
    """
    sealed = _SEALED.fullmatch(content[-_BYTES:])
    return sealed is not None and sha256(content[:-_BYTES]).hexdigest().encode() == sealed[1]
