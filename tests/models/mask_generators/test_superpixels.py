import numpy as np
import pytest
from PIL import Image
from skimage.segmentation import felzenszwalb

from fmbseg.models.contracts import MaskGenerator
from fmbseg.models.mask_generators.superpixels import Superpixels
from tests.models.mask_generators.contract import MaskGeneratorContract
from tests.models.photographs import photograph


class TestSuperpixels(MaskGeneratorContract):
    @pytest.fixture
    def generator(self) -> MaskGenerator:
        return Superpixels()


def test_the_regions_of_one_scale_tile_the_image() -> None:
    image = photograph("coffee.png")  # 400 x 600, so that it is shrunk for the work and brought back
    masks = Superpixels(scales=(300.0,)).begin(image).everything()
    assert (masks.decode().sum(axis=0) == 1).all()
    # Brought back to full size, a region stays one: no new ones arise between two of them.
    small = np.asarray(Image.fromarray(image).resize((512, 341), Image.Resampling.BILINEAR))
    labels = felzenszwalb(small, scale=300.0, sigma=0.8, min_size=round(0.001 * 512 * 341))
    areas = np.sort(np.bincount(labels.ravel())) / labels.size
    np.testing.assert_allclose(np.sort(masks.areas) / (400 * 600), areas, atol=1e-3)


def test_scales_that_agree_give_a_region_once() -> None:
    halves = np.zeros((40, 60, 3), np.uint8)
    halves[:, 30:] = 255
    once = Superpixels(scales=(300.0,), min_area_fraction=0.1).begin(halves).everything()
    twice = Superpixels(scales=(300.0, 301.0), min_area_fraction=0.1).begin(halves).everything()
    assert len(once) == 2
    assert twice.rles == once.rles


def test_larger_scales_make_larger_regions() -> None:
    image = photograph("chelsea.png")
    counts = [len(Superpixels(scales=(scale,)).begin(image).everything()) for scale in (50.0, 300.0, 2000.0)]
    assert counts[0] > counts[1] > counts[2] > 0


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="one or more positive numbers"):
        Superpixels(scales=())
    with pytest.raises(ValueError, match="one or more positive numbers"):
        Superpixels(scales=(100.0, -1.0))
    with pytest.raises(ValueError, match="min_area_fraction is 1"):
        Superpixels(min_area_fraction=1.0)
