"""Labels that people corrected in a tool train a head like any others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.label_set import save
from fmbseg.labels.record import EVERYTHING_STAGE, LabeledImage
from fmbseg.labels.writer import LabelWriter
from fmbseg.masks import MaskSet
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.alignment.photographs import WORDS, labelled
from tests.labels.examples import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.alignment.label_source import LabelSource
    from fmbseg.labels.label_set import LabelSet

SETTINGS = TrainingSettings(epochs=2, batch_size=2, image_size=64, learning_rate=0.1)


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """The rough boxes of three photographs as a label set, every mask drawn for training."""
    from fmbseg.labels.label_set import LabelSet

    root = tmp_path / "photographs"
    root.mkdir()
    source = labelled(root, side=96)
    told = manifest(3, vocabulary=WORDS.to_dict(), root=str(root))
    with LabelWriter(tmp_path / "labels", told) as writer:
        for record in sorted(source, key=lambda record: record.path):
            classes = np.array(record.detected, np.int32)
            count = len(classes)
            writer.append(
                LabeledImage(
                    path=record.path,
                    sha256=record.sha256,
                    detected=record.detected,
                    masks=MaskSet.from_masks(record.label_map() == classes[:, None, None]),
                    class_ids=classes,
                    stages=np.full(count, EVERYTHING_STAGE, np.int8),
                    similarities=np.ones(count, np.float32),
                    kept=np.ones(count, np.bool_),
                    points=(np.zeros((0, 2), np.float32),) * count,
                )
            )
    return LabelSet(tmp_path / "labels")


def weights(labels: LabelSource, tmp_path: Path) -> dict[str, torch.Tensor]:
    aligner = Aligner(TinyBackbone(), TinyImageText(), settings=SETTINGS, features_dir=tmp_path / "cache")
    return aligner.fit(labels, progress=False).encoder.head.state_dict()


def test_labels_there_and_back_train_the_same_head(labels: LabelSet, tmp_path: Path) -> None:
    path = export_coco(labels, tmp_path / "coco.json", shape="polygons").path
    again = import_coco(path, labels.root, tmp_path / "again")
    first, second = weights(labels, tmp_path), weights(again, tmp_path)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_corrected_labels_train_another(labels: LabelSet, tmp_path: Path) -> None:
    path = export_coco(labels, tmp_path / "coco.json", shape="polygons").path
    content = json.loads(path.read_text("utf-8"))
    for annotation in content["annotations"]:  # a tool that knows nothing of attributes, and a person
        del annotation["attributes"]
    first = content["annotations"][0]
    with Image.open(labels.root / content["images"][0]["file_name"]) as photograph:
        width, height = photograph.size
    first["segmentation"] = [[0, 0, width / 2, 0, width / 2, height, 0, height]]
    path.write_text(json.dumps(content), "utf-8")
    corrected = import_coco(path, labels.root, tmp_path / "corrected")
    one, other = weights(labels, tmp_path), weights(corrected, tmp_path)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_selection_trains_without_being_saved(labels: LabelSet, tmp_path: Path) -> None:
    few = labels.filter(classes=["cup", "table", "cat"])
    saved = save(few, tmp_path / "saved")
    one, other = weights(few, tmp_path), weights(saved, tmp_path)
    assert all(torch.equal(one[name], other[name]) for name in one)
