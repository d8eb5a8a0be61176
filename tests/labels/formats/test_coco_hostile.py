"""COCO JSON with every kind of fault: one clear error that names the entry, and nothing left behind."""

from __future__ import annotations

import copy
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from fmbseg.files import sha256_of
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.formats.coco_records import CocoRecords
from fmbseg.vocabulary import Vocabulary
from tests.labels.formats.by_hand import SQUARE, by_hand, changed, write, write_photographs

INF, NAN = float("inf"), float("nan")
HUGE = 10**400


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "mine")


def refused(content: Any, photographs: Path, tmp_path: Path) -> str:
    """The one error, in one line; nothing is left of the import."""
    path = content if isinstance(content, Path) else write(tmp_path, content)
    with pytest.raises(ValueError) as error:
        import_coco(path, photographs, tmp_path / "a" / "out")
    assert not (tmp_path / "a").exists()
    message = str(error.value)
    assert len(message) < 1000
    assert "\n" not in message
    return message.partition("cannot be imported: ")[2]


WRONG_TYPES: list[tuple[str, Any, str]] = [
    ("info", "x", "info is the text 'x': it must be an object, or be left out"),
    ("info", {"fmbseg": []}, "info.fmbseg is a list: it must be an object"),
    ("info", {"fmbseg": {"models": 3}}, "info.fmbseg.models must be an object"),
    ("images", {}, "images is an object: it must be a list of objects"),
    ("annotations", "x", "annotations is the text 'x'"),
    ("categories", None, "categories is null"),
    ("images__1", [], "entry 2 of images is a list: it must be an object"),
    ("annotations__0", 7, "entry 1 of annotations is the number 7"),
    ("categories__2", "cat", "entry 3 of categories is the text 'cat'"),
    ("images__0__id", ..., "entry 1 of images: the field 'id' is missing"),
    ("images__0__id", True, "entry 1 of images: id is true: it must be a whole number or a string"),
    ("images__0__id", [1], "entry 1 of images: id is a list"),
    ("images__0__id", 0.5, "entry 1 of images: id is the number 0.5"),
    ("images__0__file_name", ..., "image 0: the field 'file_name' is missing"),
    ("images__0__file_name", 1, "image 0: file_name is the number 1: it must be a string that is not empty"),
    ("images__0__file_name", " ", "image 0: file_name is the text ' '"),
    ("images__0__sha256", 5, "image 0 (images/1f2e3d4c-a cat.jpg): sha256 is the number 5"),
    ("images__0__detected", "cat", "detected is the text 'cat': it must be a list of class names"),
    ("images__0__detected", [1], "detected is a list: it must be a list of class names"),
    ("annotations__0__image_id", ..., "annotation 0: the field 'image_id' is missing"),
    ("annotations__0__image_id", {}, "annotation 0: image_id is an object"),
    ("annotations__0__image_id", "0", "image_id '0', the text '0', but the entry's id is the number 0"),
    ("annotations__0__category_id", None, "annotation 0: category_id is null"),
    ("annotations__0__attributes", "occluded", "annotation 0: attributes is the text 'occluded'"),
    ("annotations__0__attributes", [1], "annotation 0: attributes is a list"),
    ("annotations__0__attributes", {"kept": 3}, "attributes.kept is the number 3: it must be true or false"),
    ("annotations__0__attributes", {"stability": INF}, "attributes.stability is the number inf"),
    ("annotations__0__attributes", {"stability": 1e300}, "attributes.stability is the number 1e+300"),
    ("annotations__0__attributes", {"points": [1e300, 0]}, "attributes.points must be a list of numbers"),
    (
        "annotations__0__attributes",
        {"similarity": HUGE},
        "attributes.similarity is a number with many digits",
    ),
    ("annotations__0__attributes", {"points": [1]}, "attributes.points must be a list of numbers"),
    ("annotations__0__attributes", {"points": [1, NAN]}, "attributes.points must be a list of numbers"),
    ("categories__0__name", ..., "category 7: the field 'name' is missing"),
    ("categories__0__name", 5, "category 7: name is the number 5"),
]


@pytest.mark.parametrize(("place", "value", "what"), WRONG_TYPES)
def test_fields_of_another_type(photographs: Path, tmp_path: Path, place: str, value: Any, what: str) -> None:
    assert what in refused(changed(**{place: value}), photographs, tmp_path)


@pytest.mark.parametrize("side", ["height", "width"])
@pytest.mark.parametrize("value", [0, -8, INF, -INF, NAN, True, "8", None, 8.5, [], ...])
def test_sides_that_are_none(photographs: Path, tmp_path: Path, side: str, value: Any) -> None:
    told = refused(changed(**{f"images__0__{side}": value}), photographs, tmp_path)
    what = f"the field '{side}' is missing" if value is ... else f"{side} is "
    assert told.startswith(f"image 0 (images/1f2e3d4c-a cat.jpg): {what}")


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        ([[1e308, 1, 2, 2, 3, 3]], "its point (1e+308, 1) lies far outside the image of 12 x 8 pixels"),
        ([[1, 1, 2, 1e10, 3, 3]], "its point (2, 1e+10) lies far outside"),
        ([SQUARE, [1, 1, 2, 2, -1e8, 3]], "its point (-1e+08, 3) lies far outside"),
        ([[1, 1, 2, 2, 3, 1013]], "its point (3, 1013) lies far outside"),
        ([[1, 1, 2, 2, 3, INF]], "a polygon has a point that is not a number"),
        ([[1, 1, 2, 2, 3, NAN]], "a polygon has a point that is not a number"),
        ([[1, 1, 2, 2, 3, HUGE]], "a polygon has a point that is not a number"),
        ([[1, 1, 2, 2, 3, True]], "a polygon has a point that is not a number"),
        ([[1, 1, 2, 2, 3, "4"]], "a polygon has a point that is not a number"),
        ([[[1, 1], [2, 2], [3, 4]]], "a polygon"),
        (SQUARE, "a polygon is a list of three points or more"),
        ("x", "it is the text 'x': it must be a list of polygons, or run lengths"),
        (7, "it is the number 7"),
        ({"counts": [96]}, "the field 'size' is missing"),
        ({"size": [8, 12]}, "the field 'counts' is missing"),
        ({"size": 8, "counts": [96]}, "its size 8 is not the image's, [8, 12]"),
        ({"size": [8, 12], "counts": 96}, "its counts are the number 96"),
        ({"size": [8, 12], "counts": [95.5, 0.5]}, "its run lengths hold the number 95.5"),
        ({"size": [8, 12], "counts": [95, True]}, "its run lengths hold true"),
        ({"size": [8, 12], "counts": ["96"]}, "its run lengths hold the text '96'"),
        ({"size": [8, 12], "counts": [HUGE]}, "pixels, the image 8 x 12 = 96"),
        ({"size": [8, 12], "counts": []}, "its run lengths have 0 pixels"),
        ({"size": [8, 12], "counts": [97, -1]}, "a negative number, -1"),
        ({"size": [8, 12], "counts": "P" * 1_000_000 + "0"}, "longer than any image"),
    ],
)
def test_masks_that_are_none(photographs: Path, tmp_path: Path, mask: Any, what: str) -> None:
    told = refused(changed(annotations__0__segmentation=mask), photographs, tmp_path)
    assert told.startswith("image 0 (images/1f2e3d4c-a cat.jpg): the mask of annotation 0 cannot be read: ")
    assert what in told


def test_a_polygon_that_goes_to_and_fro_takes_no_memory(photographs: Path, tmp_path: Path) -> None:
    far = [0, 0, 1000, 1000] * 20_000
    tracemalloc.start()
    told = refused(changed(annotations__0__segmentation=[far]), photographs, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "its polygons are 40040000 pixels long, more than 10000000: write run lengths" in told
    assert peak < 100_000_000


def test_thousands_of_polygons_are_one_mask(photographs: Path, tmp_path: Path) -> None:
    columns = [[x, 0, x + 1, 0, x + 1, 8, x, 8] for x in range(6)] * 2000
    content = changed(annotations__0__segmentation=columns)
    image = next(iter(import_coco(write(tmp_path, content), photographs, tmp_path / "out")))
    assert image.masks.areas.tolist()[0] == 6 * 8


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 100_000, "it cannot be read as JSON: it is nested too deeply"),
        ('{"images": ' + "[" * 100_000, "nested too deeply"),
        ('{"images": [', "it cannot be read as JSON (Expecting value"),
        ("", "it cannot be read as JSON"),
        ('{"a": ' + "1" * 5000 + "}", "it cannot be read as JSON"),
    ],
)
def test_what_is_no_json(photographs: Path, tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "tool.json"
    path.write_text(text)
    assert what in refused(path, photographs, tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    assert "can't decode" in refused(path, photographs, tmp_path)


def test_a_pipe_is_not_waited_for(photographs: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OSError, match="is a pipe"):
        import_coco(tmp_path / "pipe.json", photographs, tmp_path / "out")


def test_a_size_that_was_edited_is_refused_though_the_photograph_is_the_same(
    photographs: Path, tmp_path: Path
) -> None:
    digest = sha256_of(photographs / "a cat.jpg")
    content = changed(images__0__height=9, images__0__sha256=digest)
    content["annotations"] = content["annotations"][:1]
    told = refused(content, photographs, tmp_path)
    assert "the file says 9 x 12 (height x width), but the photograph is 8 x 12" in told


def test_ids_of_both_kinds(photographs: Path, tmp_path: Path) -> None:
    content = changed(images__1__id="b", annotations__2__image_id="b", categories__1__id="sofa")
    content["annotations"][1]["category_id"] = "sofa"
    content["images"][0]["id"] = 0.0  # as a table of numbers writes it
    labels = import_coco(write(tmp_path, content), photographs, tmp_path / "out")
    assert labels.vocabulary.names == ("unused", "cat", "sofa/bed 🛋")
    assert [image.class_ids.tolist() for image in labels] == [[1, 2], [1], []]


def test_the_mended_command_finds_its_folder_free(photographs: Path, tmp_path: Path) -> None:
    """The second of three photographs is wrong, when a shard and a journal are there already."""
    path = write(tmp_path, changed(annotations__2__segmentation=[[1e9, 1, 2, 2, 3, 3]]))
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("not of fmbseg")
    with pytest.raises(ValueError, match="annotation 2"):
        import_coco(path, photographs, out, shard_size=1)
    assert [one.name for one in out.iterdir()] == ["mine.txt"]
    labels = import_coco(write(tmp_path, by_hand()), photographs, out, shard_size=1)
    assert len(labels) == 3
    assert (out / "mine.txt").read_text() == "not of fmbseg"


def test_a_set_that_was_there_is_not_removed(photographs: Path, tmp_path: Path) -> None:
    path = write(tmp_path, by_hand())
    labels = import_coco(path, photographs, tmp_path / "out", shard_size=1)
    (labels.folder / "shard-00001.parquet").unlink()
    (photographs / "deep" / "dog.jpg").write_bytes(b"no photograph any more")
    with pytest.raises(ValueError, match="is not an image"):
        import_coco(path, photographs, tmp_path / "out", shard_size=1)
    assert (labels.folder / "shard-00000.parquet").exists()
    assert (labels.folder / "shard-00002.parquet").exists()


def test_a_category_that_differs_in_case(photographs: Path, tmp_path: Path) -> None:
    path = write(tmp_path, changed(categories__0__name="Cat"))
    with pytest.raises(ValueError, match=r"imported: there is no class 'Cat'; did you mean 'cat'\? Avail"):
        import_coco(path, photographs, tmp_path / "out", vocabulary=["cat", "sofa/bed 🛋"])


def test_every_value_replaced_by_every_kind(photographs: Path) -> None:
    """Whatever stands in any place, the file is read, or is refused by a ValueError."""
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        1e308,
        INF,
        NAN,
        HUGE,
        "",
        "x",
        "../../x",
        [],
        {},
        [[]],
        [{}],
        {"id": 1},
        ...,
    ]
    whole = {**by_hand(), "info": {"fmbseg": {"vocabulary": Vocabulary.of(["cat", "sofa/bed 🛋"]).to_dict()}}}
    refusals = 0
    for place in _places(whole):
        for value in values:
            content = copy.deepcopy(whole)
            target: Any = content
            for step in place[:-1]:
                target = target[step]
            if value is ...:
                del target[place[-1]]
            else:
                target[place[-1]] = value
            try:
                records = CocoRecords.of(content, photographs, None)
                for name, entry in records.entries:
                    records.record(name, entry)
            except ValueError:
                refusals += 1
    assert refusals > 500


def _places(content: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [way] if way else []
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        found += _places(value, (*way, key))
    return found
