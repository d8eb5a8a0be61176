"""COCO JSON: out and back again, read by pycocotools, and as annotation tools write it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.record import EVERYTHING_STAGE, HAND_STAGE
from fmbseg.labels.verification import verify
from fmbseg.vocabulary import Vocabulary
from tests.labels.examples import assert_equal
from tests.labels.formats.by_hand import by_hand, changed, write, write_photographs
from tests.labels.pictures import NAMES, SIZES, write_labels

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.label_set import LabelSet


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


@pytest.mark.parametrize("shape", ["rle", "polygons"])
class TestThereAndBack:
    def test_the_labels_are_equal(self, labels: LabelSet, tmp_path: Path, shape: Any) -> None:
        path = export_coco(labels, tmp_path / "out" / "coco.json", shape=shape).path
        again = import_coco(path, labels.root, tmp_path / "again", shard_size=3)
        assert again.vocabulary == labels.vocabulary
        assert again.manifest["models"] == labels.manifest["models"]
        assert sum(len(image.masks) for image in again) == 15
        for found, wanted in zip(again, labels, strict=True):
            assert_equal(found, replace(wanted, features=None))
        assert verify(again.folder, photographs=True) == []

    def test_pycocotools_reads_the_same_masks(self, labels: LabelSet, tmp_path: Path, shape: Any) -> None:
        read = COCO(export_coco(labels, tmp_path / "coco.json", shape=shape).path)
        assert [one["name"] for one in read.loadCats(read.getCatIds())] == NAMES
        assert sorted(read.getAnnIds()) == list(range(1, 16))
        assert sorted(read.getImgIds()) == [1, 2, 3, 4]
        for number, image in enumerate(labels, start=1):
            (entry,) = read.loadImgs(number)
            assert (entry["file_name"], entry["height"], entry["width"]) == (image.path, *SIZES[image.path])
            annotations = read.loadAnns(read.getAnnIds(imgIds=number))
            assert len(annotations) == len(image.masks)
            for index, one in enumerate(annotations):
                mask = image.masks.decode(index)
                np.testing.assert_array_equal(read.annToMask(one), mask)
                assert one["area"] == mask.sum()
                rows, columns = np.nonzero(mask)
                box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
                assert one["bbox"] == box
                assert one["category_id"] == image.class_ids[index] + 1


def test_an_import_goes_on_and_refuses_another_file(labels: LabelSet, tmp_path: Path) -> None:
    path = export_coco(labels, tmp_path / "coco.json").path
    first = import_coco(path, labels.root, tmp_path / "again", shard_size=1)
    shard = first.folder / "shard-00002.parquet"
    before = shard.read_bytes()
    shard.unlink()
    import_coco(path, labels.root, tmp_path / "again", shard_size=1)
    assert shard.read_bytes() == before
    export_coco(labels.stage(EVERYTHING_STAGE), path)
    with pytest.raises(ValueError, match="another configuration"):
        import_coco(path, labels.root, tmp_path / "again", shard_size=1)


def test_another_shape_and_shard_size_are_refused(labels: LabelSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape is 'boxes': it must be one of rle, polygons"):
        export_coco(labels, tmp_path / "coco.json", shape="boxes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shard_size is 0"):
        import_coco(tmp_path / "coco.json", labels.root, tmp_path / "out", shard_size=0)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "mine")


class TestByHand:
    def test_polygons_and_both_kinds_of_run_lengths(self, photographs: Path, tmp_path: Path) -> None:
        labels = import_coco(write(tmp_path, by_hand()), photographs, tmp_path / "out")
        assert labels.vocabulary.names == ("sofa/bed 🛋", "unused", "cat")
        cat, dog, nothing = labels
        assert [one.path for one in (cat, dog, nothing)] == ["a cat.jpg", "deep/dog.jpg", "nothing.jpg"]
        square, corner = np.zeros((2, 8, 12), np.bool_)
        square[1:4, 2:6] = True
        corner[3:, 5:] = True
        np.testing.assert_array_equal(cat.masks.decode(), [square, corner])
        np.testing.assert_array_equal(dog.masks.decode(), [runs_mask()])
        assert cat.class_ids.tolist() == [2, 0]
        assert (cat.detected, dog.detected, nothing.detected) == ((0, 2), (2,), ())
        assert cat.stages.tolist() == [HAND_STAGE] * 2
        assert cat.kept.all()
        assert cat.similarities.tolist() == cat.masks.predicted_iou.tolist() == [1.0, 1.0]
        assert verify(labels.folder, photographs=True) == []

    def test_a_vocabulary_with_more_words(self, photographs: Path, tmp_path: Path) -> None:
        words = Vocabulary.of({"cat": "cat", "kitten": "cat", "grass": "grass", "sofa/bed 🛋": "sofa/bed 🛋"})
        labels = import_coco(write(tmp_path, by_hand()), photographs, tmp_path / "out", vocabulary=words)
        assert labels.vocabulary == words
        assert next(iter(labels)).class_ids.tolist() == [0, 2]

    def test_scores_that_a_tool_turned_into_text(self, photographs: Path, tmp_path: Path) -> None:
        content = by_hand()
        content["annotations"][0]["attributes"] = {
            "occluded": False, "stage": "1.2", "kept": "false", "similarity": "0.25", "stability": None,
        }  # fmt: skip
        cat = next(iter(import_coco(write(tmp_path, content), photographs, tmp_path / "out")))
        assert cat.stages.tolist() == [EVERYTHING_STAGE, HAND_STAGE]
        assert cat.kept.tolist() == [False, True]
        assert cat.similarities.tolist() == [0.25, 1.0]
        assert cat.masks.stability.tolist() == [1.0, 1.0]


def runs_mask() -> Any:
    """The column-wise runs 43, 5, 3, 5, ... as a mask."""
    values = np.zeros(96, np.bool_)
    for start in range(43, 96, 8):
        values[start : start + 5] = True
    return values.reshape(12, 8).T


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "it is not COCO JSON: it needs the lists images, annotations and categories"),
        ({"images": []}, "it is not COCO JSON"),
        (changed(images__1__id=0), "two entries have the image id 0"),
        (changed(annotations__1__id=0), "two entries have the annotation id 0"),
        (changed(annotations__0__image_id=9), "annotation 0 has image_id 9, which no entry has"),
        (changed(annotations__0__category_id=9), "annotation 0 has category_id 9, which no entry has"),
        (changed(categories__0__name="two\nlines"), "spans several lines: 'two\\nlines'"),
        (changed(categories__0__name="unused"), "the categories 3 and 7 are both named 'unused'"),
        (changed(images__0__file_name="other.jpg"), "'other.jpg' is not in "),
        (changed(images__0__file_name="nothing.jpg"), "images 0 and 2 are both nothing.jpg"),
        (changed(images__0={"id": 0}), "the field 'file_name' is missing"),
        (changed(images__0__height=9), "the file says 9 x 12 (height x width), but the photograph is 8 x 12"),
        (changed(images__0__sha256="ab"), "the photograph was changed since it was labelled"),
        (changed(annotations__0__segmentation=[[1, 2, 3, 4]]), "a polygon is a list of three points or more"),
        (changed(annotations__0__segmentation=[[1, 2, 3, 4, 5, "x"]]), "the mask of annotation 0 cannot be"),
        (changed(annotations__0__segmentation=[[1, 2, 3, 4, 5, float("nan")]]), "that is not a number"),
        (
            changed(annotations__1__segmentation__counts="5"),
            "its run lengths have 5 pixels, the image 8 x 12",
        ),
        (changed(annotations__1__segmentation__counts="é"), "the mask of annotation 1 cannot be read"),
        (changed(annotations__1__segmentation__size=[12, 8]), "its size [12, 8] is not the image's, [8, 12]"),
        (changed(annotations__2__segmentation__counts=[96, -1]), "a negative number, -1"),
        (changed(annotations__1__segmentation={"size": [8, 12]}), "the mask of annotation 1 cannot be read"),
        (
            changed(annotations__0__attributes={"similarity": "much"}),
            "annotation 0: attributes.similarity is the text 'much': it must be a number",
        ),
    ],
)
def test_what_is_wrong_is_named(photographs: Path, tmp_path: Path, content: Any, what: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ValueError) as error:
        import_coco(path, photographs, tmp_path / "out")
    assert what in str(error.value)
    assert str(path) in str(error.value)


def test_a_category_that_the_vocabulary_does_not_have(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no class 'cat'"):
        import_coco(
            write(tmp_path, by_hand()), photographs, tmp_path / "out", vocabulary=["cats", "sofa/bed 🛋"]
        )


def test_no_json_at_all(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"no\.json cannot be imported"):
        import_coco(tmp_path / "no.json", photographs, tmp_path / "out")


def test_names_that_may_be_two_photographs(photographs: Path, tmp_path: Path) -> None:
    (photographs / "far").mkdir()
    Image.new("RGB", (12, 8)).save(photographs / "far" / "dog.jpg")
    content = changed(images__1__file_name="dog.jpg")
    with pytest.raises(ValueError, match=r"'dog.jpg' may be deep/dog.jpg or far/dog.jpg"):
        import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    content = changed(images__1__file_name="export/deep/dog.jpg")
    labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert "deep/dog.jpg" in [image.path for image in labels]


def test_five_thousand_classes(photographs: Path, tmp_path: Path) -> None:
    content = by_hand()
    content["categories"] = [{"id": index, "name": f"class/{index} 🐈"} for index in range(5000)]
    content["annotations"][0]["category_id"] = 4999
    labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert len(labels.vocabulary) == 5000
    assert next(iter(labels)).class_ids.tolist() == [4999, 0]
    again = import_coco(export_coco(labels, tmp_path / "2.json").path, photographs, tmp_path / "again")
    for found, wanted in zip(again, labels, strict=True):
        assert_equal(found, wanted)
