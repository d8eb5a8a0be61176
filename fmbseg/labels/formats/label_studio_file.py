"""Label Studio's own JSON as COCO, so that one reader checks both."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pycocotools import mask as coco

from fmbseg.labels.formats.coco_file import shown
from fmbseg.labels.formats.label_studio_rle import mask_of

_KINDS = ("brushlabels", "polygonlabels")
_OWN = re.compile(r"(m[0-9]+)p[0-9]+")
"""Id of a part of a mask in fmbseg's export."""


def coco_of_tasks(tasks: list[Any]) -> dict[str, Any]:
    """Turn tasks as Label Studio exports them ("JSON") into the content of a COCO file.

    The newest annotation of a task that was not cancelled counts, or, where there is none, its newest
    prediction. Polygons that ``export_label_studio`` made of one mask, as their ids say (``m3p0``, ``m3p1``),
    are one again; others are each a mask.

    Args:
        tasks: parsed JSON.

    Raises:
        ValueError: a task or region lacks something; the message names it.
    """
    names: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, task in enumerate(tasks, start=1):
        try:
            data, regions = task["data"], _newest(task)
            about = data.get("fmbseg", {})
            size = _size(about, regions)
            image = {"id": number, "file_name": data["image"], "height": size[0], "width": size[1]}
            images.append({**image, **({"sha256": about["sha256"]} if "sha256" in about else {})})
            found = _masks(regions, size)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"task {number} is not one of Label Studio's: {error!r}") from error
        except ValueError as error:
            raise ValueError(f"task {number}: {error}") from error
        for name, segmentation in found:
            annotation = {"image_id": number, "category_id": names.setdefault(name, len(names) + 1)}
            annotations.append({**annotation, "id": len(annotations) + 1, "segmentation": segmentation})
    categories = [{"id": key, "name": name} for name, key in names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _newest(task: dict[str, Any]) -> list[dict[str, Any]]:
    given = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
    given = given or task.get("predictions", [])
    regions = max(given, key=lambda one: str(one.get("updated_at", "")))["result"] if given else []
    return [one for one in regions if one["type"] in _KINDS]


def _size(about: dict[str, Any], regions: list[dict[str, Any]]) -> tuple[int, int]:
    if regions:
        return regions[0]["original_height"], regions[0]["original_width"]
    if "height" not in about:
        raise ValueError("it has no region, and so does not say how large its photograph is")
    return about["height"], about["width"]


def _masks(regions: list[dict[str, Any]], size: tuple[int, int]) -> list[tuple[str, Any]]:
    """The class and the segmentation of each mask."""
    found: list[tuple[str, Any]] = []
    parts: dict[str, list[list[float]]] = {}
    for region in regions:
        value, kind = region["value"], region["type"]
        if not value[kind]:
            raise ValueError(f"region {shown(region['id'])} has no label")
        name = value[kind][0]
        if kind == "brushlabels":
            mask = np.asfortranarray(mask_of(value["rle"], size), np.uint8)
            found.append((name, {"size": list(size), "counts": coco.encode(mask)["counts"].decode()}))
            continue
        own = _OWN.fullmatch(str(region["id"]))
        key = f"{name}\n{own[1] if own else region['id']}"
        polygon = np.asarray(value["points"], np.float64) * (size[1], size[0]) / 100
        if key not in parts:
            parts[key] = []
            found.append((name, parts[key]))
        parts[key].append(polygon.ravel().tolist())
    return found
