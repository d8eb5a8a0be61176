"""Label Studio's JSON: read as its own code reads it, and back again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.formats.label_studio import export_label_studio
from fmbseg.labels.formats.label_studio_file import coco_of_tasks
from fmbseg.labels.formats.label_studio_rle import brush_of, mask_of
from fmbseg.labels.record import HAND_STAGE
from fmbseg.labels.regions import class_regions
from tests.labels.pictures import NAMES, SIZES, blobs, write_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.labels.label_set import LabelSet

OF_ITS_SDK = [0, 0, 0, 48, 57, 27, 252, 96, 19, 255, 219, 0, 143, 254, 248, 4, 127, 224]
"""``label_studio_sdk.converter.brush.encode_rle`` (2.1.2) of the mask below, each pixel four times."""
MASK = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.bool_)


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def decoded(rle: list[int]) -> NDArray[np.uint8]:
    """As Label Studio decodes it, bit by bit, from a text of bits."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < count:
        same = read(1)
        run = 1 + read(sizes[read(2)])
        out += [read(word)] * run if same else [read(word) for _ in range(run)]
    return np.array(out, np.uint8)


class TestBrush:
    @pytest.mark.parametrize("seed", range(3))
    def test_what_is_encoded_is_what_its_decoder_reads(self, seed: int) -> None:
        for mask in blobs((17, 23), 3, seed):
            channels = decoded(brush_of(mask)).reshape(17, 23, 4)
            for channel in range(4):
                np.testing.assert_array_equal(channels[..., channel] == 255, mask)
            np.testing.assert_array_equal(mask_of(brush_of(mask), mask.shape), mask)

    def test_runs_of_every_length(self) -> None:
        for length in (1, 4, 5, 64, 65, 16384, 16385, 40000):
            mask = np.ones((1, length + 1), np.bool_)
            mask[0, 0] = False
            np.testing.assert_array_equal(decoded(brush_of(mask))[3::4] == 255, mask[0])

    def test_what_its_own_code_encoded_is_read(self) -> None:
        np.testing.assert_array_equal(mask_of(OF_ITS_SDK, (3, 4)), MASK)

    @pytest.mark.parametrize(
        ("rle", "what"),
        [
            (OF_ITS_SDK[:-2], "ends in the middle"),
            ([0, 0, 0, 49, *OF_ITS_SDK[4:]], "49 values, not 4 a pixel of 3 x 4"),
            ([300], "is not a list of bytes"),
            ("brush", "is not a list of bytes"),
        ],
    )
    def test_damage_is_found(self, rle: Any, what: str) -> None:
        with pytest.raises(ValueError, match=what):
            mask_of(rle, (3, 4))

    def test_a_run_that_leaves_the_image(self) -> None:
        longer = brush_of(np.ones((3, 5), np.bool_))
        with pytest.raises(ValueError, match="leaves the image"):
            mask_of([*brush_of(np.ones((3, 4), np.bool_))[:4], *longer[4:]], (3, 4))


@pytest.mark.parametrize("shape", ["brush", "polygons"])
def test_there_and_back(labels: LabelSet, tmp_path: Path, shape: Any) -> None:
    done = export_label_studio(labels, tmp_path / "out", shape=shape)
    assert (done.photographs, done.masks) == (4, 15)
    again = import_coco(done.path, labels.root, tmp_path / "again", vocabulary=labels.vocabulary)
    assert again.manifest["source"]["format"] == "label-studio"
    for found, wanted in zip(again, labels, strict=True):
        assert (found.path, found.sha256, found.masks.rles) == (wanted.path, wanted.sha256, wanted.masks.rles)
        assert found.class_ids.tolist() == wanted.class_ids.tolist()
        assert (found.stages == HAND_STAGE).all()


def test_tasks_name_photographs_and_carry_predictions(labels: LabelSet, tmp_path: Path) -> None:
    done = export_label_studio(labels, tmp_path / "out", copy=True)
    tasks = json.loads(done.path.read_text("utf-8"))
    for task, image in zip(tasks, labels, strict=True):
        place = unquote(task["data"]["image"].partition("?d=")[2])
        assert (tmp_path / "out" / place).read_bytes() == (Path(labels.root) / image.path).read_bytes()
        (prediction,) = task["predictions"]
        assert len(prediction["result"]) == len(image.masks)
        for region in prediction["result"]:
            assert (region["original_height"], region["original_width"]) == SIZES[image.path]
    interface = ET.fromstring((tmp_path / "out/interface.xml").read_text("utf-8"))
    assert [one.get("value") for one in interface.iter("Label")] == NAMES
    (tag,) = interface.iter("BrushLabels")
    (shown,) = interface.iter("Image")
    assert (tag.get("name"), tag.get("toName")) == (region["from_name"], shown.get("name"))


def test_few_points(labels: LabelSet, tmp_path: Path) -> None:
    regions = class_regions(labels, min_area=30)
    exact = export_label_studio(regions, tmp_path / "exact", shape="polygons")
    simple = export_label_studio(regions, tmp_path / "simple", shape="polygons", simplify=1.5)
    assert 0 < simple.points < exact.points / 2
    points = [
        point
        for task in json.loads(simple.path.read_text("utf-8"))
        for region in task["predictions"][0]["result"]
        for point in region["value"]["points"]
    ]
    assert len(points) == simple.points
    assert np.min(points) >= 0
    assert np.max(points) <= 100


def task_of(*regions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A task as Label Studio exports one that a person annotated."""
    return {
        "id": 7,
        "data": {"image": "/data/upload/1/1f2e3d4c-dog.jpg"},
        "predictions": [],
        "annotations": [{"id": 1, "was_cancelled": False, "updated_at": "2026-01-02", "result": [*regions]}],
        **changes,
    }


def polygon(name: str = "dog", key: str = "ab1p9", **changes: Any) -> dict[str, Any]:
    value = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "closed": True, "polygonlabels": [name]}
    shared = {"type": "polygonlabels", "original_width": 6, "original_height": 4, "image_rotation": 0}
    return {"id": key, "from_name": "label", "to_name": "image", **shared, "value": value, **changes}


def test_what_people_drew_wins_over_predictions() -> None:
    rectangle = {**polygon(), "type": "rectanglelabels"}
    old = {"updated_at": "2026-01-01", "result": [polygon("cat")]}
    task = task_of(polygon(), polygon("sofa", "xyzp2"), rectangle)
    task["annotations"] = [old, *task["annotations"], {"was_cancelled": True, "result": []}]
    task["predictions"] = [{"result": [polygon("bird")]}]
    content = coco_of_tasks([task])
    assert [one["name"] for one in content["categories"]] == ["dog", "sofa"]
    assert content["images"] == [
        {"id": 1, "file_name": "/data/upload/1/1f2e3d4c-dog.jpg", "height": 4, "width": 6}
    ]
    assert [one["segmentation"] for one in content["annotations"]] == [[[0, 0, 3, 0, 3, 4, 0, 4]]] * 2


@pytest.mark.parametrize(
    ("task", "what"),
    [
        ({}, "task 1 is not one of Label Studio's: KeyError"),
        ("x", "task 1 is not one of Label Studio's"),
        (task_of(), "task 1: it has no region"),
        (task_of({"type": "polygonlabels"}), "is not one of Label Studio's: KeyError"),
        (task_of(polygon(value={"polygonlabels": [], "points": []})), "has no label"),
    ],
)
def test_what_is_no_task(task: Any, what: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task]))
    with pytest.raises(ValueError, match=f"tasks.json cannot be imported: .*{what}"):
        import_coco(path, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refusals(labels: LabelSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it must be one of brush, polygons"):
        export_label_studio(labels, tmp_path / "out", shape="rle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a brush cannot be simplified"):
        export_label_studio(labels, tmp_path / "out", simplify=2)
