"""Where the benchmarks' files are kept (as TCL and mmsegmentation do), and what their masks' values mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fmbseg.evaluation.mask_files import value_table
from fmbseg.vocabularies import coco_stuff_png_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Encoding:
    """One of the forms in which a set's masks may be stored.

    Args:
        mask: path pattern of a mask, with ``{split}`` and ``{key}``.
        table: makes the meaning of the values.
    """

    mask: str
    table: Callable[[], NDArray[np.int32]]


@dataclass(frozen=True)
class Layout:
    """Where the files of a set are kept.

    Args:
        classes: name of the class list; those with background have it first.
        bases: folders below the root; the first that exists holds the rest.
        image: path pattern of an image, with ``{split}`` and ``{key}``.
        listing: a file of keys; without one, the images that exist are taken.
        key: pattern of a key, used without a listing.
        encodings: the forms of the masks, best first.
        split: the split to measure on unless another is asked for.
        source: where to get the set.
    """

    classes: str
    bases: tuple[str, ...]
    image: str
    encodings: tuple[Encoding, ...]
    split: str
    source: str
    listing: str | None = None
    key: str = "*"


def _voc(classes: str, table: Callable[[], NDArray[np.int32]]) -> Layout:
    return Layout(
        classes,
        ("VOCdevkit/VOC2012", "VOC2012", "."),
        "JPEGImages/{key}.jpg",
        (Encoding("SegmentationClass/{key}.png", table),),
        "val",
        "PASCAL VOC 2012, VOCtrainval_11-May-2012.tar from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        listing="ImageSets/Segmentation/{split}.txt",
    )


def _context(classes: str, table: Callable[[], NDArray[np.int32]]) -> Layout:
    return Layout(
        classes,
        ("VOCdevkit/VOC2010", "VOC2010", "."),
        "JPEGImages/{key}.jpg",
        (Encoding("SegmentationClassContext/{key}.png", table),),
        "val",
        "PASCAL VOC 2010 from http://host.robots.ox.ac.uk/pascal/VOC/voc2010/, with masks and val.txt made "
        "from trainval_merged.json by mmsegmentation's tools/dataset_converters/pascal_context.py",
        listing="ImageSets/SegmentationContext/{split}.txt",
    )


def _coco(classes: str, *encodings: tuple[str, Callable[[], NDArray[np.int32]]]) -> Layout:
    return Layout(
        classes,
        ("coco_stuff164k", "."),
        "images/{split}/{key}.jpg",
        tuple(Encoding(f"annotations/{{split}}/{{key}}{ending}.png", table) for ending, table in encodings),
        "val2017",
        "COCO 2017 images from https://cocodataset.org/#download and stuffthingmaps_trainval2017.zip from "
        "https://github.com/nightrome/cocostuff",
    )


def _cityscapes(classes: str, *encodings: tuple[str, Callable[[], NDArray[np.int32]]]) -> Layout:
    return Layout(
        classes,
        ("cityscapes", "."),
        "leftImg8bit/{split}/{key}_leftImg8bit.png",
        tuple(Encoding(f"gtFine/{{split}}/{{key}}_gtFine_{kind}.png", table) for kind, table in encodings),
        "val",
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from https://www.cityscapes-dataset.com/",
        key="*/*",
    )


COCO_THINGS = 80
COCO_CLASSES = 171
COCO_LAST_THING_VALUE = 90
"""The last value of things in raw stuffthingmaps; larger ones are stuff, or 255 for unlabelled."""

CITYSCAPES_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' label ids of the 19 classes that are evaluated, in the order of their train ids."""


def with_background(classes: int) -> NDArray[np.int32]:
    """Values 0 (background) to ``classes`` are the classes themselves; 255 is the border, not counted."""
    return value_table({value: value for value in range(classes + 1)}, [255])


def reduced_zero(classes: int) -> NDArray[np.int32]:
    """Values move down by one and 0 is not counted (mmsegmentation's ``reduce_zero_label``).

    Example:
        >>> reduced_zero(150)[[0, 1, 150, 255]].tolist()
        [-1, 0, 149, -1]
    """
    return value_table({value: value - 1 for value in range(1, classes + 1)}, [0, 255])


def train_ids(classes: int) -> NDArray[np.int32]:
    """Values are the classes; 255 is not counted."""
    return value_table({value: value for value in range(classes)}, [255])


def coco_stuff_raw() -> NDArray[np.int32]:
    """Values of stuffthingmaps: 0 to 181 with 11 unused among them; 255 is not counted."""
    return value_table({value: index for index, value in enumerate(coco_stuff_png_ids())}, [255])


def coco_things_raw() -> NDArray[np.int32]:
    """The 80 things of stuffthingmaps; stuff and unlabelled pixels are not counted."""
    return value_table(_raw_things(), range(COCO_LAST_THING_VALUE + 1, 256))


def coco_things_of_train_ids() -> NDArray[np.int32]:
    """The 80 things of ``labelTrainIds``; stuff and unlabelled pixels are not counted."""
    return value_table({value: value for value in range(COCO_THINGS)}, [*range(80, COCO_CLASSES), 255])


def coco_things_of_instances() -> NDArray[np.int32]:
    """The 80 things of ``instanceTrainIds``, where 0 is background, here not counted."""
    return value_table({value + 1: value for value in range(COCO_THINGS)}, [0])


def coco_object_raw() -> NDArray[np.int32]:
    """COCO-Object of stuffthingmaps: every value above 90 is background, including 255 (unlabelled)."""
    things = {value: index + 1 for value, index in _raw_things().items()}
    return value_table({**dict.fromkeys(range(COCO_LAST_THING_VALUE + 1, 256), 0), **things}, [])


def coco_object_of_train_ids() -> NDArray[np.int32]:
    """COCO-Object of ``labelTrainIds``: stuff is background, and so is 255 (unlabelled)."""
    things = {value: value + 1 for value in range(COCO_THINGS)}
    return value_table({**dict.fromkeys([*range(80, COCO_CLASSES), 255], 0), **things}, [])


def coco_object_of_instances() -> NDArray[np.int32]:
    """COCO-Object as TCL's script writes it: 0 is background, 1 to 80 are things; nothing is left out."""
    return value_table({value: value for value in range(COCO_THINGS + 1)}, [])


def cityscapes19_of_label_ids() -> NDArray[np.int32]:
    """The 19 classes of ``labelIds``; the others are not counted."""
    return value_table({value: index for index, value in enumerate(CITYSCAPES_LABEL_IDS)}, [*range(34), 255])


def cityscapes30_of_label_ids() -> NDArray[np.int32]:
    """All 30 classes of ``labelIds``, 4 to 33; the camera's void pixels are not counted."""
    return value_table({value: value - 4 for value in range(4, 34)}, [*range(4), 255])


def _raw_things() -> dict[int, int]:
    return {value: index for index, value in enumerate(coco_stuff_png_ids()[:COCO_THINGS])}


LAYOUTS = {
    "voc20": _voc("voc20", partial(reduced_zero, 20)),
    "voc21": _voc("voc21", partial(with_background, 20)),
    "context59": _context("context59", partial(reduced_zero, 59)),
    "context60": _context("context60", partial(with_background, 59)),
    "coco_object80": _coco(
        "coco_object80",
        ("_labelTrainIds", coco_things_of_train_ids),
        ("_instanceTrainIds", coco_things_of_instances),
        ("", coco_things_raw),
    ),
    "coco_object81": _coco(
        "coco_object81",
        ("_instanceTrainIds", coco_object_of_instances),
        ("_labelTrainIds", coco_object_of_train_ids),
        ("", coco_object_raw),
    ),
    "coco_stuff171": _coco(
        "coco_stuff171",
        ("_labelTrainIds", partial(train_ids, 171)),
        ("", coco_stuff_raw),
    ),
    "cityscapes19": _cityscapes(
        "cityscapes19",
        ("labelTrainIds", partial(train_ids, 19)),
        ("labelIds", cityscapes19_of_label_ids),
    ),
    "cityscapes30": _cityscapes("cityscapes30", ("labelIds", cityscapes30_of_label_ids)),
    "ade20k150": Layout(
        "ade20k150",
        ("ade/ADEChallengeData2016", "ADEChallengeData2016", "."),
        "images/{split}/{key}.jpg",
        (Encoding("annotations/{split}/{key}.png", partial(reduced_zero, 150)),),
        "validation",
        "ADEChallengeData2016.zip from http://sceneparsing.csail.mit.edu/",
    ),
}
"""The benchmarks by name."""
