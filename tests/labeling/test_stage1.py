"""Stage 1 of one photograph: worked out by hand on painted pictures, and with the real models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg.certainty import CertaintyCurve
from fmbseg.labeling.classes import Classes
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.stage1 import label_image
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.masks import MaskSet
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.mask_generators.superpixels import superpixels
from tests.labeling.colours import ColourEncoder, painted
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labeling.stage1 import Labels

WORDS = ["green", "red", "blue"]
LEFT, RIGHT = (slice(0, 64), slice(0, 48)), (slice(0, 64), slice(48, 96))
HALVES = painted((64, 96), red=LEFT, blue=RIGHT)
PLAIN = LabelingSettings(short_side=64, min_area=0.01, keep_fraction=1.0)


def settings(**changes: Any) -> LabelingSettings:
    return LabelingSettings(**{**PLAIN.__dict__, **changes})


class Boxes:
    """A mask generator that takes points: the answer to each is the whole area of the point's colour."""

    spec = "boxes-test"
    promptable = True
    license = "CC0-1.0"

    def __init__(self, *masks: tuple[tuple[slice, slice], float]) -> None:
        self.masks = masks
        self.begun = 0
        self.asked: list[NDArray[np.float32]] = []

    def begin(self, image: NDArray[np.uint8]) -> Boxes:
        self.begun += 1
        self.image = image
        return self

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        self.asked = list(points)
        found = [np.all(self.image == self.image[int(y), int(x)], axis=-1) for (x, y), *_ in points]
        return MaskSet.from_masks(np.stack(found), np.full(len(points), 0.9))

    def everything(self) -> MaskSet:
        masks = np.zeros((len(self.masks), *self.image.shape[:2]), dtype=np.bool_)
        for mask, (area, _) in zip(masks, self.masks, strict=True):
            mask[area] = True
        return MaskSet.from_masks(masks, [iou for _, iou in self.masks])


def labels_of(generator: Boxes, image: NDArray[np.uint8] = HALVES, **changes: Any) -> Labels:
    encoder = ColourEncoder()
    return label_image(
        image, "key", Classes.plain(encoder.encode_text(WORDS)), encoder, generator, settings(**changes)
    )


def test_both_stages_by_hand() -> None:
    generator = Boxes((LEFT, 0.95), (RIGHT, 0.9))
    labels = labels_of(generator)
    assert labels.detected == (1, 2)
    assert labels.class_ids.tolist() == [1, 2, 1, 2]
    assert labels.stages.tolist() == [POINT_STAGE, POINT_STAGE, EVERYTHING_STAGE, EVERYTHING_STAGE]
    np.testing.assert_allclose(labels.similarities, 1, atol=1e-5)
    assert labels.masks.areas.tolist() == [64 * 48] * 4
    assert [points.shape for points in labels.points] == [(5, 2), (5, 2), (0, 2), (0, 2)]
    assert (labels.points[0][:, 0] < 48).all()  # red is on the left
    assert (labels.points[1][:, 0] > 48).all()
    for asked, kept in zip(generator.asked, labels.points[:2], strict=True):
        assert np.array_equal(asked, kept)
    assert generator.begun == 1


def test_masks_are_filtered_by_area_and_predicted_iou() -> None:
    small = (slice(0, 8), slice(0, 8))  # 64 of 6,144 pixels: 0.0104
    tiny = (slice(0, 7), slice(0, 8))  # 56: 0.0091
    whole = (slice(0, 64), slice(0, 96))
    generator = Boxes((small, 0.9), (tiny, 0.9), (whole, 0.9), (LEFT, 0.88), (RIGHT, 0.87))
    labels = labels_of(generator, min_area=0.01, max_area=0.95, min_predicted_iou=0.88)
    everything = labels.masks.areas[labels.stages == EVERYTHING_STAGE]
    assert everything.tolist() == [64, 64 * 48]
    nothing = (slice(0, 0), slice(0, 0))  # an empty mask has no feature to be named by
    generator.masks += ((nothing, 0.99),)
    wide = labels_of(generator, min_area=0.0, max_area=1.0, min_predicted_iou=0.0)
    assert (wide.stages == EVERYTHING_STAGE).sum() == 5


def test_a_point_mask_that_does_not_pass_is_left_out_with_its_points() -> None:
    # A third of the picture is blue, and the red mask of two thirds is above an upper bound of one half.
    image = painted((64, 96), red=(slice(0, 64), slice(0, 64)), blue=(slice(0, 64), slice(64, 96)))
    labels = labels_of(Boxes(), image, max_area=0.5)
    assert labels.detected == (1, 2)
    assert labels.class_ids.tolist() == [2]
    assert (labels.points[0][:, 0] > 64).all()


def test_the_mask_model_is_not_asked_where_no_class_was_found() -> None:
    generator = Boxes((LEFT, 0.9))
    image = painted((64, 64), red=(slice(0, 64), slice(0, 32)), blue=(slice(0, 64), slice(32, 64)))
    labels = labels_of(generator, image, min_crops=9, crop_overlap=0.0)
    assert labels.detected == ()
    assert len(labels.masks) == 0
    assert labels.masks.size == (64, 64)
    assert generator.begun == 0


def test_no_mask_is_found() -> None:
    labels = labels_of(Boxes(), min_predicted_iou=1.0)
    assert labels.detected == (1, 2)
    assert len(labels.masks) == 0


def test_what_no_mask_covers_is_named_if_asked_for() -> None:
    labels = labels_of(Boxes((LEFT, 0.9)), label_remainder=True)
    everything = np.flatnonzero(labels.stages == EVERYTHING_STAGE)
    assert labels.class_ids[everything].tolist() == [1, 2]
    assert labels.masks.predicted_iou[everything].tolist() == pytest.approx([0.9, 0])
    assert np.array_equal(labels.masks.decode(int(everything[1])), ~labels.masks.decode(int(everything[0])))
    assert (labels_of(Boxes((LEFT, 0.9))).stages == EVERYTHING_STAGE).sum() == 1


def test_the_draw_is_of_stage_1_2_alone() -> None:
    areas = [(slice(top, top + 16), slice(left, left + 24)) for top in range(0, 64, 16) for left in (0, 48)]
    labels = labels_of(Boxes(*((area, 0.9) for area in areas)), keep_fraction=0.75)
    assert labels.kept[labels.stages == POINT_STAGE].all()
    assert labels.kept[labels.stages == EVERYTHING_STAGE].sum() == 6


def test_superpixels_on_a_painted_picture() -> None:
    image = painted((64, 96), red=LEFT, blue=(slice(16, 48), slice(56, 88)))
    labeler = PseudoLabeler(image_text=ColourEncoder(), mask_generator=superpixels(), settings=PLAIN)
    labels = labeler.label_image(image, [*WORDS, "white"])
    assert labels.detected == (1, 2, 3)
    pixels = labels.masks.decode()
    for index, colour in ((1, (255, 0, 0)), (2, (0, 0, 255)), (3, (255, 255, 255))):
        truth = np.all(image == colour, axis=-1)
        own = pixels[labels.class_ids == index]
        ious = (own & truth).sum(axis=(1, 2)) / (own | truth).sum(axis=(1, 2))
        assert max(ious) > 0.75  # superpixels blur the picture first: two pixels of 32 at each edge


@pytest.mark.long
def test_the_real_models_find_the_cat() -> None:
    try:
        labeler = PseudoLabeler(mask_generator="mobilesam", mask_options={"points_per_side": 8})
    except AssetUnavailableError as error:
        pytest.skip(str(error))
    image = photograph("chelsea.png")
    labels = labeler.label_image(image, ["cup", "cat", "motorcycle"])
    assert 1 in labels.detected
    height, width = image.shape[:2]
    on_points = labels.stages == POINT_STAGE
    assert sorted(set(labels.class_ids[on_points].tolist())) == sorted(labels.class_ids[on_points].tolist())
    for points, is_point in zip(labels.points, on_points, strict=True):
        assert points.shape == ((5, 2) if is_point else (0, 2))
        assert ((points > 0) & (points < [width, height])).all()
    assert set(labels.class_ids.tolist()) <= set(labels.detected)
    # The cat's head and body fill the middle of this photograph.
    cat = labels.masks.select(np.flatnonzero(labels.class_ids == 1))
    covered = np.logical_or.reduce(cat.decode(), axis=0)
    assert np.mean(covered[60:260, 120:360]) > 0.5


def test_every_mask_is_made_and_says_how_certain_it_is() -> None:
    # A cell is red, one is of another colour, and one is blue: their mean is a third as like red as red is.
    whole = (slice(0, 64), slice(0, 96))
    generator = Boxes((LEFT, 0.9), (whole, 0.95))
    curve = CertaintyCurve((0.0, 1.0), (0.0, 1.0))
    plain = labels_of(generator, max_area=1.0)
    told = labels_of(generator, max_area=1.0, mask_curve=curve, certainty=0.8)
    assert told.masks.rles == plain.masks.rles
    assert told.class_ids.tolist() == plain.class_ids.tolist()
    assert np.isnan(plain.certainties).all()
    everything = told.stages == EVERYTHING_STAGE
    np.testing.assert_allclose(told.certainties[everything], [1, 1 / 3], atol=1e-4)
    sure = told.certain(0.8)
    assert sure.masks.select(sure.stages == EVERYTHING_STAGE).areas.tolist() == [64 * 48]
    assert (sure.label_map((EVERYTHING_STAGE,))[RIGHT] == -1).all()


def test_a_mask_is_as_certain_as_its_class_is_likely_in_the_photograph() -> None:
    always, hardly = CertaintyCurve((0.0,), (0.9,)), CertaintyCurve((0.0,), (0.25,))
    labels = labels_of(Boxes((LEFT, 0.9)), mask_curve=always, presence_curve=hardly)
    assert labels.detected == (1, 2)
    assert labels.presences.tolist() == labels.certainties[[0, 1]].tolist() == [0.25, 0.25]
    assert labels.certain(0.3).detected == ()
    known = label_image(
        HALVES,
        "key",
        Classes.plain(ColourEncoder().encode_text(WORDS)),
        ColourEncoder(),
        Boxes((LEFT, 0.9)),
        settings(mask_curve=always, presence_curve=hardly),
        present=(1,),
    )
    assert known.presences.tolist() == [1]
    np.testing.assert_allclose(known.certainties, 0.9)


def test_a_mask_from_points_is_not_certain_where_another_class_wins() -> None:
    always = CertaintyCurve((0.0,), (0.8,))
    known = settings(mask_curve=always)
    prototypes = Classes.plain(ColourEncoder().encode_text(WORDS))
    # Green is said to be there: its points find red or blue, which win under that mask.
    found = label_image(HALVES, "key", prototypes, ColourEncoder(), Boxes(), known, present=(0, 1, 2))
    assert found.class_ids.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.certainties, [0, 0.8, 0.8])


def test_of_what_no_mask_covers_the_certain_part_is_a_mask_of_its_own() -> None:
    curve = CertaintyCurve((0.0, 1.0), (0.0, 1.0))
    asked: dict[str, Any] = {"label_remainder": True, "max_area": 1.0, "mask_curve": curve}
    whole, parts = (labels_of(Boxes(), certainty=least, **asked) for least in (0.0, 0.9))
    assert np.array_equal(whole.label_map(kept_only=False), parts.label_map(kept_only=False))
    rest = parts.certainties[parts.stages == EVERYTHING_STAGE]
    assert ((rest >= 0.9) != (rest < 0.9)).all()
    assert len(rest) > (whole.stages == EVERYTHING_STAGE).sum()
