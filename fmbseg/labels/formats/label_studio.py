"""Labels for Label Studio: tasks in its own JSON, whose masks are predictions, and its interface."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from fmbseg.files import encode
from fmbseg.labels.formats.exported import LABEL_STUDIO, export_folder, survey, with_pixels
from fmbseg.labels.formats.label_studio_rle import brush_of
from fmbseg.labels.formats.outlined import outlined
from fmbseg.written import check_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.formats.exported import Exported
    from fmbseg.labels.record import LabeledImage

Strokes = Literal["brush", "polygons"]
TASKS, INTERFACE = "tasks.json", "interface.xml"
_PHOTOGRAPHS = "photographs"
_KINDS = {"brush": "brushlabels", "polygons": "polygonlabels"}
_TAGS = {"brush": "BrushLabels", "polygons": "PolygonLabels"}
_URL = "/data/local-files/?d="


def export_label_studio(
    labels: LabelCollection,
    folder: str | Path,
    *,
    shape: Strokes = "brush",
    simplify: float = 0.0,
    copy: bool = False,
) -> Exported:
    """Write ``tasks.json``, to import, and ``interface.xml``, the labelling interface of the project.

    Each photograph is a task whose masks are a prediction, which a person accepts and corrects. Photographs
    are named as Label Studio names files that it reads from a folder of its machine: set
    ``LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true`` and ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` to the
    folder of the photographs, or, with ``copy``, to ``folder``.

    Args:
        labels: a label set, or a collection derived from one.
        folder: to write to; only files that an earlier export wrote are replaced.
        shape: ``"brush"``, exact pixels, or ``"polygons"``, whose points can be moved: one for each part of a
            mask.
        simplify: pixels; above 0 polygons have few points, as in
            :func:`~fmbseg.labels.formats.coco_export.export_coco`.
        copy: copy the photographs to ``folder/photographs``.

    Returns:
        The path of ``tasks.json``, and what was written and left out, counted.

    Raises:
        ValueError: an unknown ``shape``, or ``simplify`` of a brush or of overlapping masks.
        PhotographError: a photograph was changed since it was labelled, or is to be copied and missing.
        WouldReplaceError: a file that this export did not write is in the way. Nothing was written.
        OSError: a file cannot be written.
    """
    if shape not in get_args(Strokes):
        raise ValueError(f"shape is {shape!r}: it must be one of {', '.join(get_args(Strokes))}")
    if simplify and shape == "brush":
        raise ValueError(f"simplify is {simplify}, but a brush cannot be simplified: ask for polygons")
    folder = Path(folder)
    check_folder(folder, LABEL_STUDIO, [TASKS, INTERFACE])  # before the photographs are gone through
    found = survey(labels, folder / TASKS, for_training=False, photographs_needed=copy)
    copies = {path: f"{_PHOTOGRAPHS}/{path}" for path in found.photographs} if copy else {}
    points = 0
    with export_folder(folder, LABEL_STUDIO, found.photographs.values()) as out:
        out.check([*copies.values(), TASKS, INTERFACE])
        for path, place in copies.items():
            out.copy(place, found.photographs[path])
        with out.path(TASKS) as temporary, temporary.open("wb") as file:
            between = b"[\n"
            for image in map(with_pixels, labels):
                regions = list(_regions(image, labels.vocabulary.names, shape, simplify))
                points += sum(len(one["value"].get("points", ())) for one in regions)
                task = _task(image, regions, copies.get(image.path, image.path))
                file.write(between + encode(json.dumps(task, ensure_ascii=False)))
                between = b",\n"
            file.write(b"[]\n" if between == b"[\n" else b"\n]\n")
        out.write(INTERFACE, encode(_interface(labels.vocabulary.names, shape)))
    return replace(found.counts, points=points).warn()


def _task(image: LabeledImage, regions: list[dict[str, Any]], place: str) -> dict[str, Any]:
    scores = [one["score"] for one in regions]
    prediction = {
        "model_version": "fmbseg",
        "score": sum(scores) / len(scores) if scores else 0.0,
        "result": regions,
    }
    about = {"path": image.path, "sha256": image.sha256, "height": image.size[0], "width": image.size[1]}
    return {"data": {"image": _URL + quote(place), "fmbseg": about}, "predictions": [prediction]}


def _regions(
    image: LabeledImage, names: Sequence[str], shape: Strokes, simplify: float
) -> Iterator[dict[str, Any]]:
    height, width = image.size
    shared = {
        "from_name": "label",
        "to_name": "image",
        "type": _KINDS[shape],
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    image, polygons = outlined(image, simplify) if shape == "polygons" else (image, [])
    for index, class_id in enumerate(image.class_ids.tolist()):
        shared["score"] = float(image.masks.predicted_iou[index])
        named = {_KINDS[shape]: [names[class_id]]}
        if shape == "brush":
            value = {"format": "rle", "rle": brush_of(image.masks.decode(index)), **named}
            yield {"id": f"m{index}", **shared, "value": value}
            continue
        for part, polygon in enumerate(polygons[index]):  # in percent of the sides
            points = (polygon * 100 / (width, height)).tolist()
            yield {"id": f"m{index}p{part}", **shared, "value": {"points": points, "closed": True, **named}}


def _interface(names: Sequence[str], shape: Strokes) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    tag = _TAGS[shape]
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <{tag} name="label" toName="image">\n{labels}  </{tag}>\n</View>\n'
    )
