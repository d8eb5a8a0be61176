"""Images of every kind, made by hand or by Pillow, and every kind of bad one."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from fmbseg.images import ImageError, find_images, load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

RGB = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda side: (*side, 3)))


def gradient(height: int = 12, width: int = 20) -> NDArray[np.uint8]:
    """A picture whose rows, columns and channels all differ."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 12, columns * 12, 200 - rows * 5 - columns * 3], axis=2).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# ---------------------------------------------------------------- files


def test_png_comes_back_as_it_was(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(gradient()))
    for source in (path, str(path)):
        loaded = load_image(source)
        np.testing.assert_array_equal(loaded, gradient())
        assert loaded.dtype == np.uint8
        assert loaded.flags.writeable
        assert loaded.flags.c_contiguous


def test_one_pixel(tmp_path: Path) -> None:
    path = saved(tmp_path / "dot.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    assert load_image(path).tolist() == [[[1, 2, 3]]]


def test_grey(tmp_path: Path) -> None:
    path = saved(tmp_path / "grey.png", Image.fromarray(np.array([[0, 9], [255, 100]], dtype=np.uint8)))
    assert load_image(path).tolist() == [[[0] * 3, [9] * 3], [[255] * 3, [100] * 3]]


def test_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "bits.png", Image.fromarray(np.array([[True, False]])))
    assert load_image(path).tolist() == [[[255] * 3, [0] * 3]]


def test_sixteen_bit_grey_keeps_its_upper_half(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [0x80FF, 0xFF00, 0xFFFF]], dtype=np.uint16)
    for name in ("deep.png", "deep.tif"):
        loaded = load_image(saved(tmp_path / name, Image.fromarray(values)))
        assert loaded[..., 0].tolist() == [[0, 0, 1], [128, 255, 255]]
        assert (loaded == loaded[..., :1]).all()


def test_sixteen_bit_pgm_which_pillow_opens_as_32_bit(tmp_path: Path) -> None:
    path = tmp_path / "deep.pgm"
    path.write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 0x8000, 0xFFFF))
    assert load_image(path)[..., 0].tolist() == [[128, 255]]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Length, kind, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bytes(header: tuple[int, int, int, int], rows: bytes) -> bytes:
    """A PNG by its specification: (width, height, bit depth, colour type), and filtered rows."""

    start = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def test_sixteen_bit_colour_keeps_its_upper_half(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png_bytes((1, 1, 16, 2), b"\0" + struct.pack(">3H", 0x10FF, 0x8000, 0xFFFF)))
    assert load_image(path).tolist() == [[[0x10, 0x80, 0xFF]]]


def test_float_tiff(tmp_path: Path) -> None:
    path = saved(tmp_path / "unit.tif", Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)))
    assert load_image(path)[..., 0].tolist() == [[0, 128, 255]]


def test_integers_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "counts.tif", Image.fromarray(np.array([[0, 70_000]], dtype=np.int32)))
    with pytest.raises(ImageError, match=r"counts.tif holds integers from 0 to 70000.*8 or 16 bits"):
        load_image(path)


def test_cmyk(tmp_path: Path) -> None:
    # No ink, full cyan, full black.
    inks = Image.new("CMYK", (48, 16))
    inks.paste((255, 0, 0, 0), (16, 0, 32, 16))
    inks.paste((0, 0, 0, 255), (32, 0, 48, 16))
    tiff = load_image(saved(tmp_path / "inks.tif", inks))
    assert tiff[8, [8, 24, 40]].tolist() == [[255, 255, 255], [0, 255, 255], [0, 0, 0]]
    jpeg = load_image(saved(tmp_path / "inks.jpg", inks, quality=95))
    np.testing.assert_allclose(jpeg[8, [8, 24, 40]], tiff[8, [8, 24, 40]], atol=6)


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    pixels = np.array([[[200, 0, 100, 255], [200, 0, 100, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    # 51 / 255 = one fifth of black over white
    expected = [[[200, 0, 100], [255, 255, 255], [204, 204, 204]]]
    assert load_image(saved(tmp_path / "glass.png", Image.fromarray(pixels))).tolist() == expected
    assert load_image(pixels).tolist() == expected


def test_grey_with_alpha(tmp_path: Path) -> None:
    pixels = np.array([[[0, 255], [0, 0]]], dtype=np.uint8)
    path = saved(
        tmp_path / "grey.png",
        Image.merge("LA", [Image.fromarray(band) for band in (pixels[..., 0], pixels[..., 1])]),
    )
    assert load_image(path).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.putdata([0, 1])
    plain = saved(tmp_path / "plain.png", indexed)
    assert load_image(plain).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    see_through = saved(tmp_path / "clear.png", indexed, transparency=1)
    assert load_image(see_through).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_colour_that_means_transparent(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    path = saved(tmp_path / "key.png", image, transparency=(4, 5, 6))
    assert load_image(path).tolist() == [[[1, 2, 3], [255, 255, 255]]]


# What undoes each of the eight EXIF orientations, from the standard's table.
TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "turned.png", Image.fromarray(gradient()), exif=exif)
    expected = TURNS[orientation](gradient())
    np.testing.assert_array_equal(load_image(path), expected)
    with Image.open(path) as image:
        np.testing.assert_array_equal(load_image(image), expected)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    path = saved(tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:])
    assert load_image(path)[0, 0].tolist() == [255, 0, 0]


def test_real_photographs_are_as_pillow_shows_them(shared_data: Path) -> None:
    for path in find_images(shared_data / "coco" / "images")[:3]:
        with Image.open(path) as image:
            assert load_image(path).shape == (image.height, image.width, 3)
            np.testing.assert_array_equal(load_image(path), np.asarray(image.convert("RGB")))


# ---------------------------------------------------------------- bad files


@pytest.mark.parametrize("format_", ["jpg", "png", "webp", "tif", "gif", "bmp", "jp2"])
def test_truncated_file_is_named(tmp_path: Path, format_: str) -> None:
    path = saved(tmp_path / f"cut.{format_}", Image.effect_noise((90, 90), 60).convert("RGB"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"cut\.{format_} is damaged .*get the file again or leave it out"):
        load_image(path)


def test_text_called_jpg(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("<html>not found</html>")
    with pytest.raises(ImageError, match=r"notes.jpg is not an image .*22 bytes, it looks like HTML"):
        load_image(path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ImageError, match=r"empty.png is not an image .*0 bytes"):
        load_image(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, device = tmp_path / "pipe.jpg", tmp_path / "device.jpg"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    with pytest.raises(ImageError, match=r"pipe\.jpg is a pipe, not a regular file; leave it out"):
        load_image(pipe)
    with pytest.raises(ImageError, match=r"device\.jpg is a device"):
        load_image(device)
    monkeypatch.chdir(tmp_path)  # for the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        with pytest.raises(ImageError, match=r"socket\.jpg is a socket"):
            load_image("socket.jpg")


def bytes_read() -> int:
    """By this process, in all."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("format_", ["jpg", "png", "bmp", "tif", "gif", "jp2", "ppm"])
def test_a_file_extended_to_20_gb_is_not_read_whole(tmp_path: Path, format_: str) -> None:
    path = saved(tmp_path / f"long.{format_}", Image.fromarray(gradient()))
    os.truncate(path, 20 * 10**9)
    before = bytes_read()
    assert load_image(path).shape == (12, 20, 3)
    assert bytes_read() - before < 4_000_000


@pytest.mark.parametrize("format_", ["webp", "avif"])
def test_nor_is_one_of_a_format_that_pillow_reads_whole(tmp_path: Path, format_: str) -> None:
    path = saved(tmp_path / f"long.{format_}", Image.fromarray(gradient()))
    os.truncate(path, 20 * 10**9)
    with pytest.raises(ImageError, match=rf"long\.{format_} is too large: 20,000,000,000 bytes"):
        load_image(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none.png does not exist \(looked from .*spelling"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder; name a file, or list its files with find_images"):
        load_image(tmp_path)


def test_30_000_by_30_000_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_bytes((30_000, 30_000, 8, 2), b""))  # its pixels are not even there
    with pytest.raises(ImageError, match=r"huge.png is too large: .*900000000 pixels.*raise max_pixels"):
        load_image(path)


def test_own_limit_is_checked_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_bytes((300, 200, 8, 2), b""))
    with pytest.raises(ImageError, match=r"large.png .*200 x 300 = 60,000 pixels, at most 59,999"):
        load_image(path, max_pixels=59_999)
    whole = saved(tmp_path / "whole.png", Image.new("RGB", (300, 200)))
    assert load_image(whole, max_pixels=60_000).shape == (200, 300, 3)


# ---------------------------------------------------------------- arrays, tensors, Pillow images


@given(RGB)
def test_all_forms_of_one_picture_agree(pixels: NDArray[np.uint8]) -> None:
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    forms: list[Any] = [
        pixels,
        np.asfortranarray(pixels),
        pixels.astype(np.uint16) * 257,
        pixels / 255,
        pixels.astype(np.float32) / 255,
        np.dstack([pixels, np.full(pixels.shape[:2], 255, dtype=np.uint8)]),
        Image.fromarray(pixels),
        tensor,
        tensor.float() / 255,
        (tensor.float() / 255).requires_grad_(),
    ]
    for form in forms:
        np.testing.assert_array_equal(load_image(form), pixels)


def test_half_precision_tensors() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        tensor = torch.tensor([0.0, 0.5, 1.0], dtype=dtype).reshape(3, 1, 1)
        assert load_image(tensor).tolist() == [[[0, 128, 255]]]


def test_the_result_is_a_copy() -> None:
    pixels = gradient()
    load_image(pixels)[:] = 0
    np.testing.assert_array_equal(pixels, gradient())


def test_rounding_beyond_the_unit_interval_is_cut() -> None:
    assert load_image(np.array([[-1e-6, 1 + 1e-6]]))[..., 0].tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"got \(3, 8, 9\); for channels first use array.transpose"),
        (np.zeros((2, 8, 9, 3), np.uint8), r"got \(2, 8, 9, 3\)"),
        (np.zeros(5, np.uint8), r"got \(5,\)"),
        (np.zeros((4, 4), np.int64), "not int64; convert it first"),
        (np.full((2, 2), 255.0), r"go from 255 to 255; divide by"),
        (np.full((2, 2), np.nan), "go from nan to nan"),
        (np.zeros((0, 5, 3), np.uint8), "the array has no pixel"),
        (torch.zeros(4, 8, 9), r"\(3, H, W\), got \(4, 8, 9\)"),
        (torch.zeros(1, 3, 8, 9), "one image at a time"),
        (torch.full((3, 2, 2), 2.0), "the tensor: floats must lie in .* from 2 to 2"),
        (Image.new("RGB", (0, 4)), "the Pillow image has no pixel"),
        (b"bytes", "not bytes"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_image_says_why(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_image(source)


def test_the_limit_counts_for_arrays_and_tensors_too() -> None:
    for source in (gradient(), Image.fromarray(gradient()), torch.zeros(3, 12, 20)):
        with pytest.raises(ImageError, match="12 x 20 = 240 pixels, at most 239"):
            load_image(source, max_pixels=239)


def test_numpy_images_are_read_without_torch() -> None:
    code = (
        "import sys, numpy; from fmbseg.images import load_image; "
        "load_image(numpy.zeros((2, 2))); print('torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
