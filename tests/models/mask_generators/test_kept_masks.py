"""Masks that are kept: the same as made, made once, and never another generator's or image's."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg import PseudoLabeler
from fmbseg.models.mask_generators.kept_masks import KeptMasks
from fmbseg.models.mask_generators.superpixels import Superpixels, superpixels
from tests.labeling.colours import ColourEncoder
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.mask_generators.superpixels import SuperpixelPrompter


class Counted(Superpixels):
    """Superpixels that count the images begun."""

    begun = 0

    def begin(self, image: NDArray[np.uint8]) -> SuperpixelPrompter:
        self.begun += 1
        return super().begin(image)


class Once(Superpixels):
    """Gives masks that were made before, for the sake of time."""

    def __init__(self, made: MaskSet) -> None:
        super().__init__()
        self.made = made

    def begin(self, image: NDArray[np.uint8]) -> Any:
        return SimpleNamespace(everything=lambda: self.made)


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return photograph("chelsea.png")[:120, :160]


def test_masks_are_made_once_and_come_back_bit_for_bit(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    made = superpixels().begin(image).everything()
    inner = Counted()
    with KeptMasks(inner, {}, tmp_path) as masks:
        assert masks.begin(image).everything().rles == made.rles
    with KeptMasks(inner, {}, tmp_path) as masks:  # another run
        again = masks.begin(image).everything()
    assert inner.begun == 1
    assert (again.size, again.rles) == (made.size, made.rles)
    np.testing.assert_array_equal(again.predicted_iou, made.predicted_iou)
    np.testing.assert_array_equal(again.stability, made.stability)


def test_other_pixels_shapes_and_options_are_told_apart(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    inner = Counted()
    turned = np.ascontiguousarray(image.reshape(160, 120, 3))  # the same bytes
    brighter = image.copy()
    brighter[0, 0, 0] ^= 1
    with KeptMasks(inner, {}, tmp_path) as masks:
        for each in (image, turned, brighter, image):
            masks.begin(each).everything()
    assert inner.begun == 3
    with KeptMasks(inner, {"points_per_side": 8}, tmp_path) as masks:
        masks.begin(image).everything()
    assert inner.begun == 4


def test_no_mask_is_kept_as_well(tmp_path: Path) -> None:
    with KeptMasks(superpixels(), {}, tmp_path) as masks:
        masks.write("none", superpixels().begin(np.zeros((4, 6, 3), np.uint8)).everything().select([]))
        found = masks.read("none")
    assert found is not None
    assert (found.size, len(found)) == ((4, 6), 0)


def test_a_file_that_is_no_store_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "masks.sqlite").write_text("this is not a database, however long it may be" * 50)
    with pytest.raises(ValueError, match=r"masks.sqlite is not a store of masks.*: move it away"):
        KeptMasks(superpixels(), {}, tmp_path)
    assert (tmp_path / "masks.sqlite").read_text().startswith("this is no")


@pytest.mark.filterwarnings("ignore:.*made again")
def test_damage_anywhere_gives_the_same_masks(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    made = superpixels().begin(image).everything()
    with KeptMasks(superpixels(), {}, tmp_path) as masks:
        masks.write(masks.begin(image)._key, made)
    path = tmp_path / "masks.sqlite"
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(150):
        changed = bytearray(whole)
        place = draw.randrange(16, len(whole))
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed[: place + 1] if draw.random() < 0.2 else changed)
        with KeptMasks(Once(made), {}, tmp_path) as masks:
            found = masks.begin(image).everything()
        assert found.rles == made.rles
        np.testing.assert_array_equal(found.predicted_iou, made.predicted_iou)
        np.testing.assert_array_equal(found.stability, made.stability)


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
def test_labels_with_and_without_are_the_same_bytes(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "cat.png")
    for name, cache in (("plain", None), ("first", tmp_path / "cache"), ("again", tmp_path / "cache")):
        labeler = PseudoLabeler(image_text=ColourEncoder(), mask_generator="superpixels", mask_cache=cache)
        labeler.label(tmp_path / "photos", ["red", "green"], tmp_path / name, progress=False)
    shards = [(tmp_path / name / "shard-00000.parquet").read_bytes() for name in ("plain", "first", "again")]
    assert shards[0] == shards[1] == shards[2]
