"""One region a class: merged, without overlap, without specks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.labels.regions import class_regions, without_specks
from tests.labels.pictures import write_labels

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> LabelSet:
    return write_labels(tmp_path_factory.mktemp("regions"))


@pytest.mark.parametrize("kept_only", [True, False])
def test_each_class_is_where_it_lies_on_top(labels: LabelSet, kept_only: bool) -> None:
    for before, after in zip(labels, class_regions(labels, kept_only=kept_only), strict=True):
        wanted = before.label_map(kept_only=kept_only)
        assert after.class_ids.tolist() == [value for value in np.unique(wanted) if value >= 0]
        for index, value in enumerate(after.class_ids):
            np.testing.assert_array_equal(after.masks.decode(index), wanted == value)
        assert (after.path, after.sha256, after.detected) == (before.path, before.sha256, before.detected)


def test_scores_are_means_over_pixels(labels: LabelSet) -> None:
    before, after = next(iter(labels)), next(iter(class_regions(labels)))
    top = before.top_masks(kept_only=False)
    for index, value in enumerate(after.class_ids):
        masks = top[before.label_map(kept_only=False) == value]
        for name in ("predicted_iou", "stability"):
            mean = getattr(before.masks, name)[masks].mean(dtype=np.float64)
            assert getattr(after.masks, name)[index] == pytest.approx(mean, rel=1e-5)
        assert after.similarities[index] == pytest.approx(before.similarities[masks].mean(), rel=1e-5)
        counts = {stage: (before.stages[masks] == stage).sum() for stage in (POINT_STAGE, EVERYTHING_STAGE)}
        assert after.stages[index] == max(counts, key=lambda stage: counts[stage])
        assert after.kept[index] == before.kept[masks].any()


def test_the_change_is_recorded(labels: LabelSet) -> None:
    one, other = class_regions(labels, min_area=3), class_regions(labels, min_area=4)
    assert len({labels.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert one.origin["steps"] == [{"regions": {"kept_only": False, "min_area": 3}}]


def test_a_share_of_the_photograph_is_as_its_pixels(labels: LabelSet) -> None:
    image = next(iter(labels))
    shares = next(iter(class_regions(labels, min_area=20 / image.masks.decode(0).size)))
    pixels = next(iter(class_regions(labels, min_area=20)))
    assert shares.masks.rles == pixels.masks.rles
    assert shares.masks.rles != next(iter(class_regions(labels))).masks.rles


def test_specks_join_the_neighbour_with_the_longest_border() -> None:
    given = np.array(
        [
            [0, 0, 0, 0, 1, 1],
            [0, 2, 0, -1, 1, 1],  # 2 lies in 0; -1 has two sides with 0, one with 1, one with 1 below
            [0, 0, 0, 1, 1, 1],
            [3, 3, 0, 1, 1, 1],  # 3 is large enough
        ],
        np.int32,
    )
    wanted = given.copy()
    wanted[1, 1] = 0
    wanted[1, 3] = 1  # of two borders that are equally long, that with the larger part
    found = without_specks(given, 2)
    np.testing.assert_array_equal(found[:, :3], wanted[:, :3])
    assert found[1, 3] in (0, 1)
    assert (found[3, :2] == 3).all()


def test_every_part_is_large_enough_and_large_ones_stay() -> None:
    from scipy import ndimage

    random = np.random.default_rng(0)
    given = random.integers(-1, 3, (30, 30)).astype(np.int32)
    given[:15, :15] = 5
    found = without_specks(given, 12)
    for value in np.unique(found):
        parts, _ = ndimage.label(found == value)
        assert np.bincount(parts[parts > 0])[1:].min() >= 12
    assert (found[:15, :15] == 5).all()
    np.testing.assert_array_equal(without_specks(given, 0), given)


def test_a_photograph_smaller_than_a_speck_stays() -> None:
    assert without_specks(np.zeros((2, 2), np.int32), 100).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("min_area", [-1, float("nan"), float("inf")])
def test_an_area_that_is_none(labels: LabelSet, min_area: float) -> None:
    with pytest.raises(ValueError, match="it must be pixels, or a share"):
        class_regions(labels, min_area=min_area)
