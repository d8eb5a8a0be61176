"""Which categories are classes, and what becomes of annotations without a mask or a class."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.formats.yolo import export_yolo
from tests.labels.formats.by_hand import by_hand, changed, write, write_photographs

if TYPE_CHECKING:
    from pathlib import Path

BESIDE = [[20, 1, 30, 1, 30, 4, 20, 4]]  # a polygon beside the image


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "mine")


@pytest.mark.parametrize("mask", [[], None, {}, [[]], BESIDE, {"size": [8, 12], "counts": [96]}, ...])
def test_an_annotation_without_a_mask_is_told_and_makes_no_negative(
    photographs: Path, tmp_path: Path, mask: Any
) -> None:
    content = changed(annotations__2__segmentation=mask, annotations__1__segmentation=mask)
    with pytest.warns(
        UserWarning, match=r"2 annotations \(id 1, 2\) left out, without a mask within"
    ) as told:
        labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert len(told) == 1
    cat, nothing = labels
    assert (cat.path, nothing.path) == ("a cat.jpg", "nothing.jpg")
    assert cat.masks.areas.tolist() == [12]
    assert cat.detected == (0, 2)  # the sofa was seen, though nobody knows where
    assert labels.errors == [
        {
            "shard": 0,
            "path": "deep/dog.jpg",
            "error": "none of its annotations has a mask of a class in it (ids 2)",
        }
    ]
    export_yolo(labels, tmp_path / "yolo")
    assert not list((tmp_path / "yolo").rglob("dog*"))
    exported = export_coco(labels, tmp_path / "again.json").path.read_text("utf-8")
    assert '"segmentation": []' not in exported


def test_a_polygon_that_reaches_outside_is_cut(photographs: Path, tmp_path: Path) -> None:
    content = changed(annotations__0__segmentation=[[6, -5, 40, -5, 40, 40, 6, 40]])
    labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert next(iter(labels)).masks.areas.tolist()[0] == 6 * 8


def test_an_unused_root_category_is_no_class(photographs: Path, tmp_path: Path) -> None:
    """As Roboflow writes it; its name may be that of a class, too."""
    for root in ("animals", "cat"):
        content = by_hand()
        content["categories"] = [
            {"id": 0, "name": root, "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": root},
            {"id": 2, "name": "dog", "supercategory": root},  # in another part of the data
        ]
        for annotation in content["annotations"]:
            annotation["category_id"] = 1
        labels = import_coco(write(tmp_path, content), photographs, tmp_path / root)
        assert labels.vocabulary.names == ("cat", "dog")


def test_a_category_that_is_its_own_supercategory_or_is_used_is_a_class(
    photographs: Path, tmp_path: Path
) -> None:
    content = by_hand()
    content["categories"][2]["supercategory"] = "unused"  # as COCO's person
    content["categories"][0]["supercategory"] = "sofa/bed 🛋"
    labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert labels.vocabulary.names == ("sofa/bed 🛋", "unused", "cat")


@pytest.mark.parametrize("name", ["background", "_background_", "Background"])
def test_a_category_that_means_background_is_no_class(photographs: Path, tmp_path: Path, name: str) -> None:
    content = changed(categories__0__name=name)
    with pytest.warns(UserWarning, match=rf"2 annotations \(id 0, 2\) left out, because '{name}' is not a"):
        labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert labels.vocabulary.names == ("sofa/bed 🛋", "unused")
    assert [(image.path, len(image.masks)) for image in labels] == [
        ("a cat.jpg", 1), ("deep/dog.jpg", 0), ("nothing.jpg", 0),
    ]  # fmt: skip


def test_a_photograph_of_ignored_masks_alone_is_no_negative(photographs: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="because 'ignore' is not a class"):
        labels = import_coco(
            write(tmp_path, changed(categories__0__name="ignore")), photographs, tmp_path / "out"
        )
    assert [image.path for image in labels] == ["a cat.jpg", "nothing.jpg"]
    assert [row["path"] for row in labels.errors] == ["deep/dog.jpg"]


def test_a_vocabulary_may_say_that_it_is_a_class(photographs: Path, tmp_path: Path) -> None:
    content = changed(categories__0__name="Void")
    words = ["Void", "sofa/bed 🛋"]
    labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out", vocabulary=words)
    assert next(iter(labels)).class_ids.tolist() == [0, 1]


def test_nothing_but_background(photographs: Path, tmp_path: Path) -> None:
    content = by_hand()
    content["categories"] = [{"id": 0, "name": "background"}, {"id": 7, "name": "void"}]
    with pytest.raises(ValueError, match="no category is a class: name at least one"):
        import_coco(write(tmp_path, content), photographs, tmp_path / "out")


def test_another_unicode_form_of_a_class(photographs: Path, tmp_path: Path) -> None:
    content = changed(categories__0__name=unicodedata.normalize("NFD", "Bär"))
    with pytest.raises(
        ValueError, match=r"did you mean 'Bär'\? It looks the same, but its letters have another"
    ):
        import_coco(write(tmp_path, content), photographs, tmp_path / "out", vocabulary=["Bär", "sofa/bed 🛋"])
