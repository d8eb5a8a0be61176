"""Labels for other tools, as the page offers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fmbseg.labels.formats.coco_folder import export_coco_folder
from fmbseg.labels.formats.label_studio import export_label_studio
from fmbseg.labels.formats.yolo import export_yolo
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.regions import class_regions

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.formats.exported import Exported

Kind = Literal["coco", "label-studio", "yolo"]
FORMATS: dict[str, Kind] = {
    "COCO: CVAT, FiftyOne": "coco",
    "Label Studio": "label-studio",
    "YOLO": "yolo",
}
"""By the page's words."""


def export(
    folder: Path, words: str, out: Path, min_area: float, simplify: float, kept: bool, copy: bool
) -> Exported:
    """Write one region a class, with people's corrections.

    Args:
        folder: of the label set.
        words: of :data:`FORMATS`.
        out: folder to write to.
        min_area: pixels; smaller parts join their neighbour.
        simplify: pixels; 0 for exact outlines.
        kept: only masks that are trained on.
        copy: copy the photographs.

    Raises:
        ValueError: no format of these words, or a number that is none.
    """
    if words not in FORMATS:
        raise ValueError(f"{words!r} is none of {', '.join(FORMATS)}")
    regions = class_regions(LabelSet(folder), kept_only=bool(kept), min_area=float(min_area or 0))
    simple, copied = float(simplify or 0), bool(copy)
    if FORMATS[words] == "coco":
        return export_coco_folder(regions, out, simplify=simple, copy=copied)
    if FORMATS[words] == "yolo":
        return export_yolo(regions, out, simplify=simple, copy=copied)
    return export_label_studio(regions, out, shape="polygons", simplify=simple, copy=copied)
