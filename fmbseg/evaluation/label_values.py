"""What the values in each benchmark's masks mean, with their quirks.

Every function makes a table (256,) for :func:`fmbseg.evaluation.mask_files.read_target`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.evaluation.mask_files import value_table
from fmbseg.vocabularies import coco_stuff_png_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COCO_THINGS = 80
COCO_CLASSES = 171
COCO_LAST_THING_VALUE = 90
"""The last value of things in raw stuffthingmaps; larger ones are stuff, or 255 for unlabelled."""

CITYSCAPES_TRAIN_ID = {
    7: 0,
    8: 1,
    11: 2,
    12: 3,
    13: 4,
    17: 5,
    19: 6,
    20: 7,
    21: 8,
    22: 9,
    23: 10,
    24: 11,
    25: 12,
    26: 13,
    27: 14,
    28: 15,
    31: 16,
    32: 17,
    33: 18,
}
"""Cityscapes' label id to train id, of the 19 classes that are evaluated."""


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
    return value_table(CITYSCAPES_TRAIN_ID, [*range(34), 255])


def cityscapes30_of_label_ids() -> NDArray[np.int32]:
    """All 30 classes of ``labelIds``, 4 to 33; the camera's void pixels are not counted."""
    return value_table({value: value - 4 for value in range(4, 34)}, [*range(4), 255])


def _raw_things() -> dict[int, int]:
    return {value: index for index, value in enumerate(coco_stuff_png_ids()[:COCO_THINGS])}
