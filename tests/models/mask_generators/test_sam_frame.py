from types import SimpleNamespace

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from fmbseg.models.mask_generators.sam_frame import Frame, SamFrame, SquashedFrame
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


@pytest.mark.parametrize("frame", [SamFrame((30, 60), side=64), SquashedFrame((30, 60), side=64)])
def test_maps_are_read_where_points_of_the_image_lie(frame: Frame) -> None:
    """A map of the frame whose value is the column, so that the reading tells the place."""
    columns = torch.arange(16).float().repeat(16, 1)[None]
    x = np.array([7.5, 30.0, 52.5], np.float32)
    read = frame.sample(columns, np.stack([x, np.full(3, 15, np.float32)], axis=1))
    # A column's centre lies half a column in: x / 60 of 16 columns, less a half.
    assert read[0].tolist() == pytest.approx((x / 60 * 16 - 0.5).tolist(), abs=1e-4)


def test_rows_are_read_below_the_zero_padding() -> None:
    rows = torch.arange(16).float()[:, None].repeat(1, 16)[None]
    points = np.array(
        [[30, 15]], np.float32
    )  # the middle of 30 x 60: a quarter down the frame, or its middle
    assert SamFrame((30, 60), side=64).sample(rows, points).item() == pytest.approx(16 / 4 - 0.5)
    assert SquashedFrame((30, 60), side=64).sample(rows, points).item() == pytest.approx(16 / 2 - 0.5)
