"""Where the benchmarks' files are kept (as in TCL and mmsegmentation), and where to get each set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fmbseg.evaluation import label_values as values

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


LAYOUTS = {
    "voc20": _voc("voc20", partial(values.reduced_zero, 20)),
    "voc21": _voc("voc21", partial(values.with_background, 20)),
    "context59": _context("context59", partial(values.reduced_zero, 59)),
    "context60": _context("context60", partial(values.with_background, 59)),
    "coco_object80": _coco(
        "coco_object80",
        ("_labelTrainIds", values.coco_things_of_train_ids),
        ("_instanceTrainIds", values.coco_things_of_instances),
        ("", values.coco_things_raw),
    ),
    "coco_object81": _coco(
        "coco_object81",
        ("_instanceTrainIds", values.coco_object_of_instances),
        ("_labelTrainIds", values.coco_object_of_train_ids),
        ("", values.coco_object_raw),
    ),
    "coco_stuff171": _coco(
        "coco_stuff171",
        ("_labelTrainIds", partial(values.train_ids, 171)),
        ("", values.coco_stuff_raw),
    ),
    "cityscapes19": _cityscapes(
        "cityscapes19",
        ("labelTrainIds", partial(values.train_ids, 19)),
        ("labelIds", values.cityscapes19_of_label_ids),
    ),
    "cityscapes30": _cityscapes("cityscapes30", ("labelIds", values.cityscapes30_of_label_ids)),
    "ade20k150": Layout(
        "ade20k150",
        ("ade/ADEChallengeData2016", "ADEChallengeData2016", "."),
        "images/{split}/{key}.jpg",
        (Encoding("annotations/{split}/{key}.png", partial(values.reduced_zero, 150)),),
        "validation",
        "ADEChallengeData2016.zip from http://sceneparsing.csail.mit.edu/",
    ),
}
"""The benchmarks by name."""
