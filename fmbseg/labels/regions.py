"""Labels as people draw them: one region for each class of a photograph, without overlap or specks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from fmbseg.labels.collection import ChangedLabels
from fmbseg.labels.record import UNLABELLED
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage


def class_regions(
    labels: LabelCollection, *, kept_only: bool = False, min_area: float = 0.0
) -> LabelCollection:
    """Merge the masks of each class of a photograph into one; nothing overlaps any more.

    Pixels under several masks go to the one on top (:meth:`fmbseg.labels.record.LabeledImage.label_map`).
    Scores are means over a region's pixels, its stage that of most of its pixels. Regions do not keep
    points and features.

    Args:
        labels: a label set, or a collection derived from one.
        kept_only: only masks that were drawn for training.
        min_area: connected parts that are smaller go to the neighbour with which they share the longest
            border, and so do gaps without a label. From 1 on in pixels, below 1 a share of the photograph.

    Returns:
        Labels that are changed as they are read.

    Raises:
        ValueError: ``min_area`` is negative.
    """
    if not 0 <= min_area < np.inf:
        raise ValueError(f"min_area is {min_area}: it must be pixels, or a share of the photograph below 1")

    def change(image: LabeledImage) -> LabeledImage:
        pixels = min_area if min_area >= 1 else min_area * image.size[0] * image.size[1]
        return _regions(image, image.top_masks(kept_only=kept_only), pixels)

    return ChangedLabels(labels, change, {"regions": {"kept_only": kept_only, "min_area": min_area}})


def _regions(image: LabeledImage, top: NDArray[np.int32], min_area: float) -> LabeledImage:
    before = np.append(image.class_ids, np.int32(UNLABELLED))[top]
    classes = without_specks(before, min_area)
    found = [int(value) for value in np.unique(classes) if value >= 0]
    # What a region is made of: pixels of each mask that were of this class before specks changed hands.
    shares = np.zeros((len(found), len(image.masks)))
    for row, value in enumerate(found):
        of = top[(classes == value) & (before == value)]
        shares[row] = np.bincount(of, minlength=len(image.masks)) / len(of)

    def mean(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        known = shares * ~np.isnan(scores)
        with np.errstate(invalid="ignore"):  # where no certainty is known, none is made
            return np.asarray(known @ np.nan_to_num(scores) / known.sum(axis=1), np.float32)

    masks = MaskSet(
        size=image.size,
        rles=MaskSet.from_masks(classes == np.array(found, np.int32)[:, None, None]).rles,
        predicted_iou=mean(image.masks.predicted_iou),
        stability=mean(image.masks.stability),
    )
    return replace(
        image,
        masks=masks,
        class_ids=np.array(found, np.int32),
        stages=np.array([_most(image.stages, row) for row in shares], np.int8),
        similarities=mean(image.similarities),
        certainties=mean(image.certainties),
        kept=np.array([image.kept[row > 0].any() for row in shares], np.bool_),
        points=(np.zeros((0, 2), np.float32),) * len(found),
        features=None,
    )


def _most(stages: NDArray[np.int8], share: NDArray[np.float64]) -> int:
    """The stage with the largest share."""
    return int(max(np.unique(stages), key=lambda stage: float(share[stages == stage].sum())))


def without_specks(classes: NDArray[np.int32], min_area: float) -> NDArray[np.int32]:
    """Give connected parts that are too small to the neighbour with which they share the longest border.

    The smallest go first, and what they join may then be large enough: GDAL calls this a sieve.

    Args:
        classes: (H, W), the class at each pixel, -1 for none, which is treated as the others.
        min_area: pixels that a part must have to stay.

    Returns:
        (H, W); a part is left small only where it has no neighbour.

    Example:
        >>> without_specks(np.array([[1, 1, 1, 1], [1, 2, 3, 3], [1, 1, 3, 3]], np.int32), 2).tolist()
        [[1, 1, 1, 1], [1, 1, 3, 3], [1, 1, 3, 3]]
    """
    classes = classes.copy()
    while True:
        parts, count = _parts(classes)
        areas = np.bincount(parts.ravel(), minlength=count)
        if areas.min() >= min_area or count == 1:
            return classes
        values = np.empty(count, np.int32)
        values[parts] = classes
        values[:] = _joined(values, areas, _borders(parts), min_area)
        classes = values[parts]


def _parts(classes: NDArray[np.int32]) -> tuple[NDArray[np.intp], int]:
    """Number the connected parts (by sides) of all classes, from 0."""
    parts = np.zeros(classes.shape, np.intp)
    count = 0
    for value in np.unique(classes):
        here, more = ndimage.label(classes == value)
        parts[here > 0] = here[here > 0] + (count - 1)
        count += more
    return parts, count


def _borders(parts: NDArray[np.intp]) -> dict[int, dict[int, int]]:
    """For each part its neighbours, each with the number of pixels' edges that they share."""
    pairs = np.concatenate(
        [
            np.stack([parts[:-1].ravel(), parts[1:].ravel()]),
            np.stack([parts[:, :-1].ravel(), parts[:, 1:].ravel()]),
        ],
        axis=1,
    )
    pairs = pairs[:, pairs[0] != pairs[1]]
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    each, counts = np.unique(both, axis=1, return_counts=True)
    found: dict[int, dict[int, int]] = {}
    for one, other, count in zip(*each.tolist(), counts.tolist(), strict=True):
        found.setdefault(one, {})[other] = count
    return found


def _joined(
    values: NDArray[np.int32], areas: NDArray[np.intp], borders: dict[int, dict[int, int]], min_area: float
) -> NDArray[np.int32]:
    """The class of each part after those that are smaller than all their neighbours joined one of these."""
    joined = values.copy()
    for part in np.flatnonzero(areas < min_area).tolist():
        neighbours = borders[part]
        if all((areas[part], part) < (areas[other], other) for other in neighbours):
            joined[part] = values[max(neighbours, key=lambda other: (neighbours[other], areas[other]))]
    return joined
