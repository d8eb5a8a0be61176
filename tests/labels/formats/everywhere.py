"""The exports by their names, for what holds for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.labels.collection import ChangedLabels
from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_folder import export_coco_folder
from fmbseg.labels.formats.hf_datasets import export_datasets
from fmbseg.labels.formats.indexed_png import export_png
from fmbseg.labels.formats.label_studio import export_label_studio
from fmbseg.labels.formats.yolo import export_yolo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.formats.exported import Exported
    from fmbseg.labels.label_set import LabelSet


def coco(labels: Any, folder: Path) -> Exported:
    return export_coco(labels, folder / "labels.json")


def label_studio(labels: Any, folder: Path) -> Exported:
    return export_label_studio(labels, folder, copy=True)


EXPORTS: dict[str, Callable[[Any, Path], Exported]] = {
    "coco": coco,
    "yolo": export_yolo,
    "png": export_png,
    "datasets": export_datasets,
    "coco folder": export_coco_folder,
    "label studio": label_studio,
}
FOLDERS = ["yolo", "png", "datasets", "coco folder", "label studio"]
FILES = {
    "coco": "labels.json",
    "yolo": "labels/a.txt",
    "png": "a.png",
    "datasets": "README.md",
    "coco folder": "annotations/instances_default.json",
    "label studio": "tasks.json",
}
"""A file that each writes."""


def files(folder: Path) -> dict[str, bytes]:
    """Every file that is not hidden, with its content; links are what they lead to."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix(): (folder / path).read_bytes()
        for path in found
        if not any(part.startswith(".") for part in path.parts)
    }


def only(labels: LabelSet, *paths: str) -> LabelCollection:
    """The same set with some of its photographs alone."""

    class Some(ChangedLabels):
        def __iter__(self) -> Any:
            return (image for image in labels if image.path in paths)

        def __len__(self) -> int:
            return len(paths)

    return Some(labels, lambda image: image, {})
