"""YOLO's text files, rasterised again by pycocotools."""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]
from PIL import Image
from pycocotools import mask as coco

from fmbseg.files import sha256_of
from fmbseg.labels.collection import ChangedLabels
from fmbseg.labels.formats.yolo import export_yolo
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import boxes, manifest, record
from tests.labels.pictures import NAMES, SIZES, without_pixels, write_labels


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
        assert (images / path).read_bytes() == (Path(labels.root) / path).read_bytes()
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
    assert copied.read_bytes() == (Path(labels.root) / "deep/b.png").read_bytes()


def test_a_photograph_that_is_gone(labels: LabelSet, tmp_path: Path) -> None:
    (Path(labels.root) / "z.png").unlink()
    with pytest.raises(ValueError, match=r"z\.png cannot be read .*: put it back"):
        export_yolo(labels, tmp_path / "yolo")


def of_photographs(folder: Path, *paths: str) -> LabelSet:
    """Grey photographs of 24 x 16, each with one square mask of class 4."""
    with LabelWriter(folder / "labels", manifest(len(paths), root=str(folder / "photographs"))) as writer:
        for path in paths:
            photograph = folder / "photographs" / path
            photograph.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 16), "grey").save(photograph, format=FORMATS.get(photograph.suffix))
            square = record(
                path,
                boxes((2, 2, 10, 10), size=(16, 24)),
                sha256=sha256_of(photograph),
                detected=(4,),
                class_ids=np.array([4], np.int32),
                stages=np.array([12], np.int8),
                similarities=np.ones(1, np.float32),
                kept=np.ones(1, np.bool_),
                points=(np.zeros((0, 2), np.float32),),
            )
            writer.append(square)
    return LabelSet(folder / "labels")


FORMATS = {".jfif": "JPEG", ".wrong": "GIF"}


def found_by_ultralytics(data: Path, part: str) -> dict[str, str]:
    """Its photographs, from where their part is, with their labels; looked for as its source does."""
    content = yaml.safe_load(data.read_text("utf-8"))
    start = (Path(content.get("path") or data.parent) / content[part]).resolve()
    found = {}
    for name in glob.glob(f"{start}/**/*.*", recursive=True):  # noqa: PTH207 - it passes over what is hidden
        if name.rpartition(".")[-1].lower() in {"bmp", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}:
            with Image.open(name) as image:
                assert image.format in {"BMP", "JPEG", "PNG", "TIFF", "WEBP"}
            text = Path("/labels/".join(name.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")
            found[Path(name).relative_to(start).as_posix()] = text.read_text() if text.is_file() else "none"
    return found


SQUARE = "4 0.0833333 0.125 0.416667 0.125 0.416667 0.625 0.0833333 0.625\n"


@pytest.mark.parametrize(
    ("paths", "places"),
    [
        (["images/a.png", "images/deep/b.png"], ["a.png", "deep/b.png"]),
        (["train/images/a.png", "valid/images/a.png"], ["train/a.png", "valid/a.png"]),
        (["images/images/a.png"], ["a.png"]),
        (["labels/a.png", "images.png"], ["labels/a.png", "images.png"]),
        (["a.png", "images/a.png"], ["a.png", "images_/a.png"]),
        ([".hidden/a.png", ".b.png"], ["_hidden/a.png", "_b.png"]),
        (["a.gif", "b.JPG", "c.jfif", "d.jp2", "e.TIFF"], ["a.png", "b.JPG", "c.png", "d.png", "e.TIFF"]),
    ],
)
def test_ultralytics_finds_every_photograph_and_its_labels(
    tmp_path: Path, paths: list[str], places: list[str]
) -> None:
    labels = of_photographs(tmp_path, *paths)
    done = export_yolo(labels, tmp_path / "yolo")
    assert found_by_ultralytics(done.path, "train") == dict.fromkeys(places, SQUARE)
    assert done.converted == sum(one.endswith(".png") for one in places) - sum(
        one.endswith(".png") for one in paths
    )


def test_a_gif_that_is_called_jpg_is_converted(tmp_path: Path) -> None:
    labels = of_photographs(tmp_path, "a.wrong")
    wrong, named = (Path(labels.root) / name for name in ("a.wrong", "a.jpg"))
    wrong.rename(named)
    done = export_yolo(ChangedLabels(labels, lambda one: replace(one, path="a.jpg"), {}), tmp_path / "yolo")
    assert found_by_ultralytics(done.path, "train") == {"a.png": SQUARE}


def test_copies_travel_to_another_place(labels: LabelSet, tmp_path: Path) -> None:
    export_yolo(labels, tmp_path / "yolo", copy=True)
    (tmp_path / "yolo").rename(tmp_path / "elsewhere")
    Path(labels.root).rename(tmp_path / "gone")
    found = found_by_ultralytics(tmp_path / "elsewhere" / "data.yaml", "val")
    assert sorted(found) == sorted(SIZES)
    assert "none" not in found.values()
    assert not any(path.is_symlink() for path in (tmp_path / "elsewhere").rglob("*"))


def test_some_are_set_apart_by_a_seed(tmp_path: Path) -> None:
    paths = [f"{index}.png" for index in range(10)]
    labels = of_photographs(tmp_path, *paths)
    parts = []
    for seed in (0, 0, 1):
        done = export_yolo(labels, tmp_path / "yolo", val=0.3, seed=seed)
        train, val = (found_by_ultralytics(done.path, part) for part in ("train", "val"))
        assert (len(train), len(val), done.validation) == (7, 3, 3)
        assert sorted([*train, *val]) == paths
        parts.append(sorted(val))
    assert parts[0] == parts[1] != parts[2]
    least = export_yolo(labels, tmp_path / "yolo", val=0.001)
    assert (least.validation, least.photographs) == (1, 10)
    assert str(least) == f"{least.path}: 10 photographs (1 for validation), 10 masks (40 points)"
    for wrong in (1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"val is .*: it must be 0, or a share below 1"):
            export_yolo(labels, tmp_path / "other", val=wrong)
    with pytest.raises(ValueError, match="too few photographs to set any apart: 1"):
        export_yolo(of_photographs(tmp_path / "one", "a.png"), tmp_path / "other", val=0.1)
    assert not (tmp_path / "other").exists()


def test_a_photograph_whose_masks_are_gone_is_no_photograph_of_nothing(
    labels: LabelSet, tmp_path: Path
) -> None:
    emptied = ChangedLabels(labels, without_pixels, {})
    nothing = "a class was found there but no mask is left, which this format would treat as having no object"
    with pytest.warns(UserWarning, match="left out") as told:
        done = export_yolo(emptied, tmp_path / "yolo")
    assert [str(one.message) for one in told if one.category is UserWarning] == [
        f"{done.path}: 1 photograph left out: {nothing}",
        f"{done.path}: 5 masks without a pixel left out",
    ]
    assert sorted(found_by_ultralytics(done.path, "train")) == ["deep/b.png", "none.png", "z.png"]
    assert (done.photographs, done.left_out, done.empty_masks) == (3, 1, 5)
    with pytest.warns(UserWarning, match="3 photographs left out"):  # none is sure enough
        done = export_yolo(labels.filter(min_predicted_iou=1), tmp_path / "yolo")
    assert found_by_ultralytics(done.path, "train") == {"none.png": ""}


def test_any_name_is_read_back_from_the_yaml(labels: LabelSet, tmp_path: Path) -> None:
    names = ["<script>", "a: b # c", "\x1b[2J\x7f\x84x", "\ufeff\U0001f408 'q\" \\"]
    labels._vocabulary = replace(labels.vocabulary, names=tuple(names), prompts=())
    content = yaml.safe_load(export_yolo(labels, tmp_path / "yolo").path.read_text("utf-8"))
    assert list(content["names"].values()) == list(labels.vocabulary.names)
