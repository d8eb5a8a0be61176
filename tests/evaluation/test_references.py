"""Files of others with answers that they state: the figures and run lengths here are theirs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.datasets import open_data
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def references(shared_data: Path) -> Path:
    folder = shared_data / "references"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_sceneparsing_taken_as_truth_and_prediction(references: Path, tmp_path: Path) -> None:
    """Their README: mean IoU 0.1000 over 150 classes, absent ones as 0, and pixel accuracy 100 %."""
    base = tmp_path / "ADEChallengeData2016"
    images, masks = base / "images" / "validation", base / "annotations" / "validation"
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for mask in sorted((references / "sceneparsing").glob("*.png")):
        (masks / mask.name).write_bytes(mask.read_bytes())
        with Image.open(mask) as opened:
            Image.new("RGB", opened.size).save(images / f"{mask.stem}.jpg")
    data = open_data("ade20k150", base)
    matrix = ConfusionMatrix(len(data.names))
    for sample in data.samples:
        target = data.load(sample)[1]
        matrix.update(target, target)
    assert len(data.samples) == 3
    assert matrix.num_classes == 150
    assert matrix.present.sum() == 15
    assert np.nan_to_num(matrix.iou()).mean() == pytest.approx(0.1000, abs=1e-12)
    assert matrix.pixel_accuracy == 1
    assert matrix.miou() == matrix.miou(present_only=False) == 1


def test_panoptic_maps_and_their_run_lengths(references: Path, tmp_path: Path) -> None:
    """50 segments: those in the PNGs (R + 256 G + 65536 B), in the JSON, and in what is imported of it."""
    folder = references / "panoptic"
    detection = folder / "panoptic_coco_detection_format.json"
    told = json.loads(detection.read_text())
    segments = {
        one["image_id"]: one
        for one in json.loads((folder / "panoptic_examples.json").read_text())["annotations"]
    }
    for image in told["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(tmp_path / image["file_name"])
    labels = import_coco(detection, tmp_path, tmp_path / "out")
    assert len(labels.vocabulary) == 133
    names = {one["id"]: one["name"] for one in told["categories"]}
    count = 0
    for image, record in zip(told["images"], labels, strict=True):
        assert record.path == image["file_name"]
        entry = segments[image["id"]]
        with Image.open(folder / entry["file_name"]) as png:
            ids = np.asarray(png.convert("RGB"), np.int64) @ np.array([1, 256, 65536])
        in_png = np.array([one["id"] for one in entry["segments_info"]])
        masks = MaskSet.from_masks(ids == in_png[:, None, None])
        wanted = [one for one in told["annotations"] if one["image_id"] == image["id"]]
        counts = [one["segmentation"]["counts"].encode() for one in wanted]
        assert list(masks.rles) == counts
        assert list(record.masks.rles) == counts
        assert masks.areas.tolist() == [one["area"] for one in wanted]
        boxes = masks.boxes
        boxes[:, 2:] -= boxes[:, :2]
        assert boxes.tolist() == [one["bbox"] for one in wanted]
        assert [labels.vocabulary.names[index] for index in record.class_ids] == [
            names[one["category_id"]] for one in wanted
        ]
        count += len(wanted)
    assert count == 50
