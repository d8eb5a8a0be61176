"""COCO JSON as an annotation tool would write it, and the photographs that it is of."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]


def write_photographs(folder: Path) -> Path:
    """Three photographs of 8 x 12 pixels (height x width)."""
    (folder / "deep").mkdir(parents=True)
    for name in ("a cat.jpg", "deep/dog.jpg", "nothing.jpg"):
        Image.new("RGB", (12, 8), "red").save(folder / name)
    return folder


def by_hand() -> dict[str, Any]:
    """As a tool would write it: no attributes, ids from 0, categories in an order of its own."""
    names = ["images/1f2e3d4c-a cat.jpg", "/data/local-files/?d=mine%2Fdeep%2Fdog.jpg", "default/nothing.jpg"]
    images = [{"id": i, "file_name": name, "height": 8, "width": 12} for i, name in enumerate(names)]
    mask = np.zeros((8, 12), np.uint8)
    mask[3:, 5:] = 1
    counts = coco.encode(np.asfortranarray(mask))["counts"].decode()
    runs = [5 * 8 + 3, *[5, 3] * 6, 5]
    annotations = [
        {"segmentation": [SQUARE], "category_id": 7},
        {"segmentation": {"size": [8, 12], "counts": counts}, "category_id": 0},
        {"segmentation": {"size": [8, 12], "counts": runs}, "category_id": 7, "iscrowd": 1},
    ]
    for number, annotation in enumerate(annotations):
        annotation |= {"id": number, "image_id": [0, 0, 1][number], "bbox": [0, 0, 1, 1], "area": 1}
    categories = [{"id": 7, "name": "cat"}, {"id": 0, "name": "sofa/bed 🛋"}, {"id": 3, "name": "unused"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(folder: Path, content: Any) -> Path:
    path = folder / "tool.json"
    path.write_text(json.dumps(content))
    return path


def changed(**changes: Any) -> dict[str, Any]:
    """What ``by_hand`` gives, with entries changed: ``annotations__0__image_id=9``; ``...`` takes one out."""
    content = copy.deepcopy(by_hand())
    for place, value in changes.items():
        *way, last = place.split("__")
        target: Any = content
        for step in way:
            target = target[int(step) if step.isdecimal() else step]
        key = int(last) if last.isdecimal() else last
        if value is ...:
            del target[key]
        else:
            target[key] = value
    return content
