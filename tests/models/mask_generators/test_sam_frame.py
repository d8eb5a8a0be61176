from types import SimpleNamespace

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from fmbseg.models.mask_generators.sam_frame import SamFrame
from tests.models.photographs import photograph

SIZES = [(300, 451), (451, 300), (64, 64), (1500, 1100), (1, 500)]


@pytest.mark.parametrize("size", SIZES)
def test_points_and_size_are_those_of_segment_anything(size: tuple[int, int]) -> None:
    theirs, ours = ResizeLongestSide(1024), SamFrame(size)
    assert ours.resized == ResizeLongestSide.get_preprocess_shape(*size, 1024)
    points = np.random.default_rng(0).uniform(0, size[::-1], (7, 3, 2)).astype(np.float32)
    np.testing.assert_allclose(ours.points(points), theirs.apply_coords(points, size), rtol=1e-5)


@pytest.mark.parametrize("rows", [300, 120])
def test_pixels_are_those_of_segment_anything(rows: int) -> None:
    image = photograph("chelsea.png")[:rows]
    resized = torch.from_numpy(ResizeLongestSide(1024).apply_image(image)).permute(2, 0, 1)
    sam = SimpleNamespace(
        pixel_mean=torch.tensor([123.675, 116.28, 103.53])[:, None, None],
        pixel_std=torch.tensor([58.395, 57.12, 57.375])[:, None, None],
        image_encoder=SimpleNamespace(img_size=1024),
    )
    torch.testing.assert_close(
        SamFrame(image.shape[:2]).pixels(image)[0], Sam.preprocess(sam, resized.float()), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("size", SIZES)
def test_upscaling_is_that_of_segment_anything(size: tuple[int, int]) -> None:
    logits = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(0))
    sam = SimpleNamespace(image_encoder=SimpleNamespace(img_size=1024))
    frame = SamFrame(size)
    theirs = Sam.postprocess_masks(sam, logits[:, None], frame.resized, size)[:, 0]
    torch.testing.assert_close(frame.upscale(logits), theirs)


def test_a_very_thin_image_keeps_a_row() -> None:
    assert SamFrame((1, 5000)).resized == (1, 1024)
