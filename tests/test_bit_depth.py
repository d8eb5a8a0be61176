"""Files of more than eight bits, written by hand, by Pillow and by tifffile; right values by arithmetic."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from fmbseg import bit_depth
from fmbseg.images import ImageError, load_image
from tests.test_images import png_chunk

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TWELVE = np.array([[0, 1000, 2047, 4095]], np.uint16)
TWELVE_IN_EIGHT = [0, 62, 127, 255]  # of 1000 / 4095 * 255 = 62.3, 2047 / 4095 * 255 = 127.5 - 0.03
NOTE = "4095 is taken as white, here and in similar images"


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bit_depth, "_told", set())


def grey(path: Path) -> list[int]:
    pixels = load_image(path)
    assert (pixels == pixels[..., :1]).all()
    values: list[int] = pixels[..., 0].ravel().tolist()
    return values


def quiet(path: Path) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return grey(path)


def deep_png(path: Path, values: NDArray[Any], *chunks: tuple[bytes, bytes]) -> Path:
    """A grey PNG of 16 bits by its specification, of one row."""
    import zlib

    header = struct.pack(">IIBBBBB", values.shape[1], 1, 16, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" + values.astype(">u2").tobytes())
    parts = [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, content) for kind, content in parts))
    return path


def test_twelve_bits_in_a_png_of_sixteen(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(TWELVE).save(path)
    with pytest.warns(UserWarning, match=rf"a\.png holds integers .* none is above 4095: {NOTE}"):
        assert grey(path) == TWELVE_IN_EIGHT
    assert quiet(path) == TWELVE_IN_EIGHT  # it is told once


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int16, np.uint16])
def test_twelve_bits_in_tiffs(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "a.tif"
    for compression in (None, "zlib"):
        tifffile.imwrite(path, TWELVE.astype(kind), photometric="minisblack", compression=compression)
        bit_depth._told.clear()
        with pytest.warns(UserWarning, match=NOTE):
            assert grey(path) == TWELVE_IN_EIGHT


@pytest.mark.parametrize(("white", "bits"), [(255, 8), (1000, 10), (4000, 12), (16_000, 14)])
def test_the_fewest_usual_bits_that_hold_all(tmp_path: Path, white: int, bits: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[0, white - 1, white]], np.int32), photometric="minisblack")
    expected = [0, (white - 1) * 255 / (2**bits - 1), white * 255 / (2**bits - 1)]
    with pytest.warns(UserWarning, match=f"{2**bits - 1} is taken as white"):
        np.testing.assert_allclose(grey(path), expected, atol=0.5)


@pytest.mark.parametrize("factor", [256, 257, 16])
def test_dark_images_of_all_sixteen_bits_stay_dark(tmp_path: Path, factor: int) -> None:
    values = np.arange(10, dtype=np.uint16)[None] * factor  # of 8 bits, twice; of 12 bits, moved up
    path = tmp_path / "a.png"
    Image.fromarray(values * (256 // factor if factor == 16 else 1)).save(path)
    assert quiet(path) == list(range(10))
    path = tmp_path / "black.png"
    Image.fromarray(np.zeros((1, 4), np.uint16)).save(path)
    assert quiet(path) == [0] * 4


def test_the_largest_value_that_a_tiff_states(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tags: list[Any] = [(280, "H", 1, 0, True), (281, "H", 1, 4095, True)]
    dark = np.array([[0, 100, 1000]], np.uint16)
    tifffile.imwrite(path, dark, photometric="minisblack", extratags=tags)
    assert quiet(path) == [0, 6, 62]
    tags = [(340, "f", 1, -1.0, True), (341, "f", 1, 3.0, True)]
    floats = np.array([[-1.0, 0.0, 1.0, 3.0]], np.float32)
    tifffile.imwrite(path, floats, photometric="minisblack", extratags=tags)
    assert quiet(path) == [0, 64, 128, 255]  # quarters of 255
    tifffile.imwrite(path, floats + 1, photometric="minisblack", extratags=tags)
    with pytest.raises(ImageError, match=r"floats must lie in \[-1, 3\], these go from 0 to 4"):
        load_image(path)


def test_a_stated_value_that_the_data_exceed_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, TWELVE, photometric="minisblack", extratags=[(281, "H", 1, 1023, True)])
    with pytest.warns(UserWarning, match=NOTE):
        assert grey(path) == TWELVE_IN_EIGHT


def test_packed_twelve_bits_need_no_note(tmp_path: Path) -> None:
    """A TIFF by its specification: two values of 12 bits in three bytes, 0 and 4095, then 1000 and 2047."""
    packed = bytes.fromhex("000fff" + "3e87ff")
    tags = [
        (256, 4),
        (257, 1),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, len(packed)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(packed))
    path = tmp_path / "a.tif"
    path.write_bytes(start + packed + struct.pack("<H", len(tags)) + entries + bytes(4))
    assert quiet(path) == [0, 255, 62, 127]


def test_where_the_least_value_is_white(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    values = np.array([[0, 0x40FF, 0xFFFF]], np.uint16)
    for compression in (None, "zlib"):
        tifffile.imwrite(path, values, photometric="miniswhite", compression=compression)
        assert quiet(path) == [255, 255 - 0x40, 0]
    tifffile.imwrite(path, TWELVE, photometric="miniswhite")
    with pytest.warns(UserWarning, match=NOTE):
        assert grey(path) == [255 - value for value in TWELVE_IN_EIGHT]
    tifffile.imwrite(path, np.array([[0, 100, 255]], np.uint8), photometric="miniswhite")
    assert quiet(path) == [255, 155, 0]
    tifffile.imwrite(path, np.array([[0, 0.2, 1]], np.float32), photometric="miniswhite")
    assert quiet(path) == [255, 204, 0]


def test_the_significant_bits_that_a_png_states(tmp_path: Path) -> None:
    path = deep_png(tmp_path / "a.png", TWELVE // 8, (b"gAMA", struct.pack(">I", 45455)), (b"sBIT", b"\x0c"))
    assert quiet(path) == [0, 8, 16, 32]  # 125, 255 and 511 of 4095
    path = deep_png(tmp_path / "b.png", TWELVE << 4, (b"sBIT", b"\x0c"))  # as the specification has it
    assert quiet(path) == [0, 62, 127, 255]


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_the_largest_value_of_a_pgm(tmp_path: Path, white: int) -> None:
    path = tmp_path / "a.pgm"
    values = np.array([0, white // 20, white], ">u2")
    path.write_bytes(b"P5 3 1 %d\n" % white + values.tobytes())
    assert quiet(path) == [0, 12, 255]
    values = np.array([0, white // 20 + 1, white // 20 + 2], ">u2")  # dark, and as dark as stated
    path.write_bytes(b"P5 3 1 %d\n" % white + values.tobytes())
    assert max(quiet(path)) <= 13


def test_floats_of_a_pfm(tmp_path: Path) -> None:
    path = tmp_path / "a.pfm"
    path.write_bytes(b"Pf\n3 1\n-1.0\n" + np.array([0, 0.5, 1], "<f4").tobytes())
    assert quiet(path) == [0, 128, 255]


def test_colours_of_twelve_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([TWELVE, TWELVE, TWELVE], axis=-1), photometric="rgb")
    with pytest.warns(UserWarning, match=rf"of which only the lower 12 are used: {NOTE}"):
        np.testing.assert_allclose(grey(path), TWELVE_IN_EIGHT, atol=17)  # Pillow leaves 4 bits of them
    bright = np.stack([TWELVE << 4, TWELVE << 4, TWELVE << 4], axis=-1)
    tifffile.imwrite(path, bright, photometric="rgb")
    assert quiet(path) == [0, 62, 127, 255]


def test_arrays_and_pillow_images_are_read_as_files_are() -> None:
    for source in (TWELVE, Image.fromarray(TWELVE)):
        bit_depth._told.clear()
        with pytest.warns(UserWarning, match=NOTE):
            assert load_image(source)[0, :, 0].tolist() == TWELVE_IN_EIGHT
