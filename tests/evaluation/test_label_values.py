"""What the benchmarks' mask values mean, for every value of 0 to 255, from the benchmarks' own documents."""

from __future__ import annotations

import numpy as np
import pytest

from fmbseg.evaluation import layouts
from fmbseg.evaluation.mask_files import UNKNOWN
from fmbseg.vocabularies import benchmark_classes

# labels.txt of COCO-Stuff counts from 1; a mask's value is one less. These 11 are used nowhere.
UNUSED = {
    11: "street sign",
    25: "hat",
    28: "shoe",
    29: "eye glasses",
    44: "plate",
    65: "mirror",
    67: "window",
    68: "desk",
    70: "door",
    82: "blender",
    90: "hair brush",
}
RAW_COCO = [value for value in range(182) if value not in UNUSED]  # packed in order
# cityscapesscripts' labels.py: (id, trainId), 255 where it is not evaluated.
CITYSCAPES = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
CITYSCAPES += [255, 255, 16, 17, 18]


def as_mmsegmentation_reduces(classes: int) -> list[int]:
    """reduce_zero_label in mmsegmentation's own order, on uint8; what lies beyond the classes is unknown."""
    label = np.arange(256, dtype=np.uint8)
    label[label == 0] = 255
    label = label - 1
    label[label == 254] = 255
    return [-1 if value == 255 else int(value) if value < classes else UNKNOWN for value in label]


@pytest.mark.parametrize("classes", [20, 59, 150])
def test_zero_is_reduced_as_mmsegmentation_does(classes: int) -> None:
    assert layouts.reduced_zero(classes).tolist() == as_mmsegmentation_reduces(classes)


def test_ade20k_shifts_by_one_and_drops_zero() -> None:
    names = benchmark_classes("ade20k150")
    table = layouts.reduced_zero(150)
    assert table[0] == -1
    assert [names[table[value]] for value in (1, 8, 150)] == ["wall", "bed", "flag"]
    assert table[151] == UNKNOWN


@pytest.mark.parametrize("classes", [20, 59])
def test_background_stays_a_class(classes: int) -> None:
    table = layouts.with_background(classes)
    assert table[: classes + 1].tolist() == list(range(classes + 1))
    assert table[255] == -1
    assert set(table[classes + 1 : 255].tolist()) == {UNKNOWN}


@pytest.mark.parametrize("classes", [19, 171])
def test_train_ids_are_the_classes(classes: int) -> None:
    expected = [*range(classes), *[UNKNOWN] * (255 - classes), -1]
    assert layouts.train_ids(classes).tolist() == expected


def test_raw_coco_stuff_leaves_out_the_unused() -> None:
    table = layouts.coco_stuff_raw()
    for value in range(256):
        expected = -1 if value == 255 else RAW_COCO.index(value) if value in RAW_COCO else UNKNOWN
        assert table[value] == expected
    names = benchmark_classes("coco_stuff171")
    assert (len(RAW_COCO), names[table[0]], names[table[91]], names[table[181]]) == (
        171,
        "person",
        "banner",
        "wood",
    )


def test_coco_objects_255_becomes_background() -> None:
    table = layouts.coco_object_raw()
    assert table[255] == 0  # unlabelled is background: nothing is ignored
    assert (table != -1).all()
    for value in range(256):
        if value > 90:
            assert table[value] == 0
        elif value in UNUSED:
            assert table[value] == UNKNOWN
        else:
            assert table[value] == RAW_COCO.index(value) + 1
    trained = layouts.coco_object_of_train_ids()
    assert trained[255] == 0
    assert trained[:80].tolist() == list(range(1, 81))
    assert set(trained[80:171].tolist()) == {0}
    made = layouts.coco_object_of_instances()
    assert made[:81].tolist() == list(range(81))
    assert set(made[81:].tolist()) == {UNKNOWN}


def test_coco_things_alone_ignore_the_rest() -> None:
    raw, trained = layouts.coco_things_raw(), layouts.coco_things_of_train_ids()
    things = [value for value in RAW_COCO if value <= 90]
    assert len(things) == 80
    assert raw[things].tolist() == trained[:80].tolist() == list(range(80))
    assert set(raw[91:].tolist()) == {-1}
    assert set(trained[80:171].tolist()) == {-1}
    assert trained[255] == -1
    of_instances = layouts.coco_things_of_instances()
    assert of_instances[:81].tolist() == [-1, *range(80)]


def test_cityscapes_by_its_own_table() -> None:
    table = layouts.cityscapes19_of_label_ids()
    assert len(CITYSCAPES) == 34
    assert table[:34].tolist() == [-1 if value == 255 else value for value in CITYSCAPES]
    assert (table[34], table[255]) == (UNKNOWN, -1)


def test_cityscapes_of_thirty_classes() -> None:
    table = layouts.cityscapes30_of_label_ids()
    names = benchmark_classes("cityscapes30")
    assert table[:4].tolist() == [-1] * 4
    assert table[4:34].tolist() == list(range(30))
    assert {names[table[value]] for value in (4, 5, 6)} == {"static", "dynamic", "ground"}
    nineteen = benchmark_classes("cityscapes19")
    for value, train_id in enumerate(CITYSCAPES):
        if train_id != 255:
            assert names[table[value]] == nineteen[train_id]
    others = {"parking", "rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer"}
    assert set(names) == {*nineteen, *others, "static", "dynamic", "ground"}
