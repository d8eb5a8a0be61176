"""Stage 1 for one photograph: classes, then masks from points (1.1) and masks of everything (1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fmbseg.labeling.description import Description, describe
from fmbseg.labeling.mask_naming import MaskNames, name_masks, own_names
from fmbseg.labeling.point_prompts import query_points
from fmbseg.labeling.presence import Present, find_classes
from fmbseg.labeling.remainder import remainder
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE, LabeledImage
from fmbseg.labels.selection import draw_lots
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fmbseg.labeling.classes import Classes
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.contracts import ImageTextEncoder, MaskGenerator, Prompter


@dataclass(frozen=True, eq=False, kw_only=True)
class Labels(LabeledImage):
    """The pseudo labels of one photograph, and what they were made from.

    Its masks are those of Stage 1.1, then those of Stage 1.2, each with the mean feature under it.

    Args:
        description: the photograph in the text space.
    """

    description: Description


class _Named(NamedTuple):
    masks: MaskSet
    names: MaskNames
    certainties: NDArray[np.float32]
    points: list[NDArray[np.float32]]


def label_image(
    image: NDArray[np.uint8],
    key: str,
    classes: Classes,
    encoder: ImageTextEncoder,
    generator: MaskGenerator,
    settings: LabelingSettings,
    *,
    present: tuple[int, ...] | None = None,
) -> Labels:
    """Label one photograph (paper §3.2); the mask model encodes it once, and only if a class was found.

    Args:
        image: RGB, (H, W, 3).
        key: what the seeded draw of this photograph depends on, for example its path.
        classes: to look for.
        encoder: of the image.
        generator: of masks; without prompts there is no Stage 1.1.
        settings: of Stage 1.
        present: indices of the classes that are known to be in the photograph, ascending; they replace the
            presence step (the paper's semi-supervised variant).
    """
    return label_described(
        image, describe(image, encoder, settings), key, classes, generator, settings, present=present
    )


def label_described(
    image: NDArray[np.uint8],
    description: Description,
    key: str,
    classes: Classes,
    generator: MaskGenerator,
    settings: LabelingSettings,
    *,
    present: tuple[int, ...] | None = None,
    sha256: str = "",
) -> Labels:
    """Label one photograph that the image-text model has described; see :func:`label_image`.

    A mask's certainty is how likely its class is right by its own score, or how likely the class is in the
    photograph at all, whichever is less.
    """
    found = (
        Present.known(present) if present is not None else find_classes(description.pooled, classes, settings)
    )
    detected, size = found.detected, (image.shape[0], image.shape[1])
    nothing = description.dense.new_zeros(0, len(description.dense))
    none = _Named(
        MaskSet.empty(size),
        MaskNames.of(nothing, classes, np.zeros(0, np.int32)),
        np.zeros(0, np.float32),
        [],
    )
    pointed = everything = none
    if detected:
        prompter = generator.begin(image)
        if generator.promptable:
            pointed = _from_points(prompter, description.dense, classes, found, size, settings)
        everything = _from_everything(prompter, description.dense, classes, found, settings)
    both = (pointed, everything)
    return Labels(
        path=key,
        sha256=sha256,
        description=description,
        detected=detected,
        masks=MaskSet.concat([one.masks for one in both]),
        class_ids=np.concatenate([one.names.class_ids for one in both]),
        stages=np.repeat(
            np.array([POINT_STAGE, EVERYTHING_STAGE], np.int8), [len(one.masks) for one in both]
        ),
        similarities=np.concatenate([one.names.similarities for one in both]),
        kept=np.concatenate(
            [np.ones(len(pointed.masks), np.bool_), draw(len(everything.masks), key, settings)]
        ),
        points=tuple(points for one in both for points in one.points),
        features=np.concatenate([one.names.features for one in both]),
        certainties=np.concatenate([one.certainties for one in both]),
        presences=found.likely,
    )


def draw(count: int, key: str, settings: LabelingSettings) -> NDArray[np.bool_]:
    """Draw the part ``keep_fraction`` of a photograph's masks, rounded; seed and key decide which.

    Example:
        >>> from fmbseg.labeling.settings import LabelingSettings
        >>> int(draw(8, "dog.jpg", LabelingSettings()).sum())
        6
    """
    return draw_lots(count, key, fraction=settings.keep_fraction, seed=settings.seed)


def _from_points(
    prompter: Prompter,
    dense: torch.Tensor,
    classes: Classes,
    present: Present,
    size: tuple[int, int],
    settings: LabelingSettings,
) -> _Named:
    """Stage 1.1: the mask of highest confidence for each detected class's points."""
    detected = present.detected
    points = query_points(
        dense, classes.prototypes, detected, size, points_per_class=settings.points_per_class
    )
    masks = prompter.prompt(points)
    good = np.flatnonzero(_passes(masks, settings))
    masks = masks.select(good)
    names = own_names(masks, dense, classes, np.asarray(detected, np.int32)[good])
    certainties = _certainties(names, present, settings)
    if len(masks):  # the curve tells of words where they win, and the points of a class may find another
        wins = name_masks(masks, dense, classes, detected).class_ids == names.class_ids
        certainties *= wins  # what is unknown, NaN, stays so
    return _Named(masks, names, certainties, [points[index] for index in good])


def _from_everything(
    prompter: Prompter,
    dense: torch.Tensor,
    classes: Classes,
    present: Present,
    settings: LabelingSettings,
) -> _Named:
    """Stage 1.2: every mask that can be found, named with one of the detected classes."""
    masks = prompter.everything()
    chosen = masks.select(_passes(masks, settings))
    names = name_masks(chosen, dense, classes, present.detected)
    if settings.label_remainder:
        rest = remainder(
            chosen,
            dense,
            classes,
            present.detected,
            min_area=settings.min_area,
            least_score=settings.least_score,
        )
        chosen = MaskSet.concat([chosen, rest.masks])
        names = names.joined(own_names(rest.masks, dense, classes, rest.class_ids))
    none = np.zeros((0, 2), dtype=np.float32)
    return _Named(chosen, names, _certainties(names, present, settings), [none] * len(chosen))


def _certainties(names: MaskNames, present: Present, settings: LabelingSettings) -> NDArray[np.float32]:
    """How certain the names of N masks are, (N,); NaN where no curve tells."""
    if settings.mask_curve is None:
        return np.full(len(names.class_ids), np.nan, np.float32)
    likely = present.likely[np.searchsorted(present.detected, names.class_ids)]
    return np.fmin(settings.mask_curve.of(names.scores), likely)


def _passes(masks: MaskSet, settings: LabelingSettings) -> NDArray[np.bool_]:
    """Which masks have the area and predicted IoU that the settings ask for, (N,); empty ones never do."""
    fraction = masks.areas / (masks.size[0] * masks.size[1])
    return np.asarray(
        (fraction > 0)
        & (fraction >= settings.min_area)
        & (fraction <= settings.max_area)
        & (masks.predicted_iou >= settings.min_predicted_iou)
    )
