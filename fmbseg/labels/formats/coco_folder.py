"""Labels as a folder in COCO's layout: annotations and photographs, for training and validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.labels.formats.coco_export import Shape, check_shape, write_coco
from fmbseg.labels.formats.exported import COCO_FOLDER, export_folder, set_apart, survey
from fmbseg.written import check_folder

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.formats.exported import Exported

_PLACE = "annotations/instances_{}.json"


def export_coco_folder(
    labels: LabelCollection,
    folder: str | Path,
    *,
    shape: Shape = "polygons",
    simplify: float = 0.0,
    copy: bool = False,
    val: float = 0.0,
    seed: int = 0,
) -> Exported:
    """Write ``annotations/instances_<part>.json`` and the photographs, ``images/<part>/``.

    Without validation the only part is ``default``, as in what CVAT exports; else they are ``train`` and
    ``val``. Datumaro, FiftyOne and CVAT read such a folder; each file is as
    :func:`~fmbseg.labels.formats.coco_export.export_coco` writes it.

    Args:
        labels: a label set, or a collection derived from one.
        folder: to write to; only files that an earlier export wrote are replaced.
        shape: as in ``export_coco``.
        simplify: as in ``export_coco``.
        copy: copy the photographs, so that the folder can be moved to another machine; else they are links
            to where they lie (copies where links cannot be made).
        val: share of the photographs, 0 to below 1, that is set apart for validation (at least one above 0).
        seed: of that choice, which depends on each photograph's path and not on their order.

    Returns:
        The folder, and what was written and left out, counted.

    Raises:
        ValueError: as ``export_coco``; or ``val`` outside its range or of a set of one photograph.
        PhotographError: a photograph is missing, or was changed since it was labelled. Nothing was written.
        WouldReplaceError: a file that this export did not write is in the way. Nothing was written.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    check_shape(shape, simplify)
    files = [_PLACE.format(part) for part in (("train", "val") if val else ("default",))]
    check_folder(folder, COCO_FOLDER, files)  # before the photographs are gone through
    found = survey(labels, folder, for_training=False, photographs_needed=True)
    apart = set_apart(list(found.photographs), val, seed)
    parts = {path: _part(path, apart, val) for path in found.photographs}
    places = {path: f"images/{part}/{path}" for path, part in parts.items()}
    points = 0
    with export_folder(folder, COCO_FOLDER, found.photographs.values()) as out:
        out.check([*places.values(), *files])
        for path, place in places.items():
            (out.copy if copy else out.link)(place, found.photographs[path])
        for part in sorted(set(parts.values())):
            with out.path(_PLACE.format(part)) as temporary:
                paths = {path for path, other in parts.items() if other == part}
                points += write_coco(temporary, labels, shape, simplify, paths)
    return replace(found.counts, points=points, validation=len(apart)).warn()


def _part(path: str, apart: set[str], val: float) -> str:
    if not val:
        return "default"
    return "val" if path in apart else "train"
