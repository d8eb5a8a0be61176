"""Exports for people: few points, a folder of COCO with photographs, parts for training and validation."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pycocotools.coco import COCO

from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_folder import export_coco_folder
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.formats.exported import set_apart
from fmbseg.labels.formats.yolo import export_yolo
from fmbseg.labels.regions import class_regions
from tests.labels.examples import assert_equal
from tests.labels.pictures import SIZES, write_labels

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.labels.record import LabeledImage


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def test_few_points_and_much_the_same_pixels(labels: LabelSet, tmp_path: Path) -> None:
    regions = class_regions(labels, min_area=30)
    exact = export_coco(regions, tmp_path / "exact.json", shape="polygons")
    simple = export_coco(regions, tmp_path / "simple.json", shape="polygons", simplify=1.5)
    assert simple.masks == exact.masks > 0
    assert simple.points < exact.points / 2
    read = COCO(simple.path)
    assert simple.points == sum(len(one) // 2 for a in read.anns.values() for one in a["segmentation"])
    for image in regions:
        (number,) = (key for key, one in read.imgs.items() if one["file_name"] == image.path)
        covered = np.zeros(image.size, int)
        for annotation in read.loadAnns(read.getAnnIds(number)):
            (index,) = np.flatnonzero(image.class_ids == annotation["category_id"] - 1)
            mask, found = image.masks.decode(int(index)), read.annToMask(annotation).astype(bool)
            assert (mask & found).sum() / (mask | found).sum() > 0.75  # of noise, the worst that there is
            assert annotation["area"] == found.sum()
            covered += found
        assert covered.max(initial=0) <= 1  # a rasteriser gives a pixel on a border to one of two


def test_simplified_regions_come_back_as_they_were_written(labels: LabelSet, tmp_path: Path) -> None:
    path = export_coco(class_regions(labels), tmp_path / "a.json", shape="polygons", simplify=2).path
    read = COCO(path)
    for image in import_coco(path, labels.root, tmp_path / "again"):
        (number,) = (key for key, one in read.imgs.items() if one["file_name"] == image.path)
        for index, annotation in enumerate(read.loadAnns(read.getAnnIds(number))):
            np.testing.assert_array_equal(image.masks.decode(index), read.annToMask(annotation))


def test_yolo_with_few_points(labels: LabelSet, tmp_path: Path) -> None:
    regions = class_regions(labels, kept_only=True, min_area=30)
    exact = export_yolo(regions, tmp_path / "exact")
    simple = export_yolo(regions, tmp_path / "simple", simplify=1.5)
    assert 0 < simple.points < exact.points / 2
    lines = (tmp_path / "simple/labels/a.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == next(iter(regions)).class_ids.tolist()


def test_masks_that_overlap_are_not_simplified(labels: LabelSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a.png: masks overlap, .* class_regions\(labels\) or --regions"):
        export_coco(labels, tmp_path / "a.json", shape="polygons", simplify=2)
    with pytest.raises(ValueError, match="run lengths cannot be simplified"):
        export_coco(labels, tmp_path / "a.json", simplify=2)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("copy", [True, False])
def test_a_folder_of_coco_with_its_photographs(labels: LabelSet, tmp_path: Path, copy: bool) -> None:
    out = tmp_path / "out"
    done = export_coco_folder(labels, out, copy=copy, val=0.5, seed=2)
    assert (done.photographs, done.validation, done.masks) == (4, 2, 15)
    seen: dict[str, LabeledImage] = {}
    for part in ("train", "val"):
        found = import_coco(
            out / f"annotations/instances_{part}.json", out / f"images/{part}", tmp_path / part
        )
        seen |= {image.path: image for image in found}
        for image in found:
            photograph = out / "images" / part / image.path
            assert photograph.is_symlink() != copy
            assert photograph.read_bytes() == (Path(labels.root) / image.path).read_bytes()
    assert set(seen) == set(SIZES)
    assert {path for path in seen if (out / "images/val" / path).exists()} == set_apart([*SIZES], 0.5, 2)
    for image in labels:
        assert_equal(seen[image.path], replace(image, features=None))


def test_a_folder_without_validation_has_one_part(labels: LabelSet, tmp_path: Path) -> None:
    export_coco_folder(labels, tmp_path / "out", val=0.5)
    export_coco_folder(labels, tmp_path / "out", shape="rle")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    visible = {name for name in found if not os.path.basename(name).startswith(".")}  # noqa: PTH119
    assert visible == {"annotations/instances_default.json", *(f"images/default/{path}" for path in SIZES)}
    written = json.loads((tmp_path / "out/annotations/instances_default.json").read_text("utf-8"))
    assert isinstance(written["annotations"][0]["segmentation"], dict)


def test_a_choice_depends_on_seed_and_paths_alone() -> None:
    paths = [f"{number}.jpg" for number in range(50)]
    chosen = set_apart(paths, 0.2, 1)
    assert len(chosen) == 10
    assert set_apart(paths[::-1], 0.2, 1) == chosen != set_apart(paths, 0.2, 2)
    assert set_apart(paths, 0, 1) == set()
    for val in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="it must be 0, or a share below 1"):
            set_apart(paths, val, 0)
