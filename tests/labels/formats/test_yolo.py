"""YOLO's text files, rasterised again by pycocotools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from pycocotools import mask as coco

from fmbseg.labels.formats.yolo import export_yolo
from tests.labels.pictures import NAMES, SIZES, write_labels

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def test_the_kept_masks_come_back(labels: LabelSet, tmp_path: Path) -> None:
    export_yolo(labels, tmp_path / "yolo")
    compared = 0
    for image in labels:
        height, width = image.size
        lines = (tmp_path / "yolo/labels" / image.path).with_suffix(".txt").read_text().splitlines()
        kept = np.flatnonzero(image.kept)
        assert [int(line.split()[0]) for line in lines] == image.class_ids[kept].tolist()
        for line, index in zip(lines, kept, strict=True):
            points = np.array(line.split()[1:], np.float64).reshape(-1, 2) * (width, height)
            found = coco.decode(coco.frPyObjects([points.ravel().tolist()], height, width))[..., 0]
            np.testing.assert_array_equal(found, image.masks.decode(int(index)))
            compared += 1
    assert compared >= 8


def test_the_layout_that_ultralytics_expects(labels: LabelSet, tmp_path: Path) -> None:
    data = export_yolo(labels, tmp_path / "yolo").path
    content = yaml.safe_load(data.read_text("utf-8"))
    assert content["names"] == dict(enumerate(NAMES))
    assert "path" not in content  # then Ultralytics starts from the file itself, wherever it was moved to
    images = data.parent / content["train"]
    assert content["val"] == content["train"]
    for path in SIZES:
        assert (images / path).read_bytes() == (labels.root / path).read_bytes()
        # Where Ultralytics looks: "/images/" replaced by "/labels/", another extension.
        text = Path(str(images / path).replace("/images/", "/labels/")).with_suffix(".txt")
        assert text.is_file()
    assert (images.parent / "labels/none.txt").read_text() == ""


def test_photographs_are_copied_where_there_are_no_links(
    labels: LabelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    export_yolo(labels, tmp_path / "yolo")
    copied = tmp_path / "yolo/images/deep/b.png"
    assert not copied.is_symlink()
    assert copied.read_bytes() == (labels.root / "deep/b.png").read_bytes()


def test_a_photograph_that_is_gone(labels: LabelSet, tmp_path: Path) -> None:
    (labels.root / "z.png").unlink()
    with pytest.raises(ValueError, match=r"z\.png cannot be read .*: put it back"):
        export_yolo(labels, tmp_path / "yolo")
