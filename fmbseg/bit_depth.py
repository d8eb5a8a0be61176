"""Scaling values of more than eight bits to eight, by the range that a file states or by the data."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fmbseg.signatures import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_BITS, _PHOTOMETRIC, _MIN, _MAX, _SMIN, _SMAX = 258, 262, 280, 281, 340, 341  # tags of TIFF
_MIN_IS_WHITE = 0
_USUAL_BITS = (8, 10, 12, 14, 16)
_WHITE_16 = 65_535
_FLOAT_SLACK = 1e-4  # what resizing in float32 may leave outside [0, 1]
_told: set[int] = set()


class Depth(NamedTuple):
    """What a file says about its values.

    Attributes:
        low: the value of black.
        high: the value of white; None where the file does not say.
        bits: significant bits, where the file states them but may store them in either half of 16 (PNG's
            sBIT).
        inverted: whether the least value is white.
        is_cut: whether Pillow keeps the upper eight of sixteen bits of each channel.
    """

    low: float = 0.0
    high: float | None = None
    bits: int | None = None
    inverted: bool = False
    is_cut: bool = False


NOTHING_STATED = Depth()


def depth_of(image: Image.Image) -> Depth:
    """Read what the file of a Pillow image says about its values, before its pixels are loaded."""
    if image.format == "TIFF":
        return _of_tiff(image)
    if image.format == "PPM" and image.mode.startswith("I"):  # floats (PFM) are as they are
        return Depth(high=_WHITE_16)  # Pillow scales by the file's own maximum
    if image.format == "PNG":
        return Depth(bits=_significant_bits(image), is_cut=_is_cut(image))
    return NOTHING_STATED


def eight_bits(values: NDArray[Any], name: str, depth: Depth = NOTHING_STATED) -> NDArray[np.uint8]:
    """Scale integers or floats to 0 to 255.

    Where the file does not state the value of white, integers are taken to have 8, 10, 12, 14 or 16 bits, the
    fewest that hold them all; a warning says so once for each number of bits below 16.

    Args:
        values: any shape; integers from 0, floats in [0, 1] or within the range that the file states.
        name: of the image, for messages.
        depth: what the file says.

    Raises:
        ImageError: integers beyond 16 bits, negative ones, or floats outside [0, 1], and no range is stated.

    Example:
        >>> eight_bits(np.array([0, 2048, 4095], np.uint16), "scan.png", Depth(high=4095)).tolist()
        [0, 128, 255]
    """
    low, high = _range(values, name, depth)
    if (low, high) == (0, _WHITE_16) and not np.issubdtype(values.dtype, np.floating):
        scaled = (values >> 8).astype(np.uint8)
    else:
        unit = (values.astype(np.float64) - low) / (high - low)
        scaled = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    return ~scaled if depth.inverted else scaled


def lift_cut_colours(colours: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Stretch the upper eight of sixteen bits of channels that use fewer than sixteen bits.

    Args:
        colours: (H, W, C), without alpha.
        name: of the image, for the warning.
    """
    highest = int(colours.max())
    for bits in (10, 12, 14):
        white = ((1 << bits) - 1) >> 8
        if 0 < highest <= white:
            _tell(bits, f"{name} holds 16 bits a channel, of which only the lower {bits} are used")
            lifted: NDArray[np.uint8] = np.rint(colours * (255 / white)).astype(np.uint8)
            return lifted
    return colours


def _range(values: NDArray[Any], name: str, depth: Depth) -> tuple[float, float]:
    lowest, highest = float(values.min()), float(values.max())
    if np.issubdtype(values.dtype, np.floating):
        low, high = (0.0, 1.0) if depth.high is None else (depth.low, depth.high)
        slack = _FLOAT_SLACK * (high - low)
        if not (lowest >= low - slack and highest <= high + slack):  # so written, NaN fails too
            raise ImageError(
                f"{name}: floats must lie in [{low:g}, {high:g}], these go from {lowest:g} to {highest:g}; "
                f"divide by their largest possible value, or give uint8"
            )
        return low, high
    if depth.high is not None and depth.low <= lowest and highest <= depth.high:
        return depth.low, depth.high
    if lowest < 0 or highest > _WHITE_16:
        raise ImageError(
            f"{name} holds integers from {lowest:.0f} to {highest:.0f}, more than 16 bits; save it with 8 or "
            "16 bits"
        )
    bits = _bits_of(values, int(highest), depth.bits)
    if bits < 16 and bits != depth.bits:
        _tell(bits, f"{name} holds integers of more than 8 bits, and none is above {highest:.0f}")
    return 0, (1 << bits) - 1


def _bits_of(values: NDArray[Any], highest: int, stated: int | None) -> int:
    """The fewest usual bits that hold all values; 16 for values of fewer bits that are shifted up."""
    if highest == 0 or not _fills_the_lower_bits(values, highest):
        return 16
    if stated is not None and highest < 1 << stated:
        return stated
    return next(bits for bits in _USUAL_BITS if highest < 1 << bits)


def _fills_the_lower_bits(values: NDArray[Any], highest: int) -> bool:
    if highest <= 255:  # moved up, all of it would be black
        return True
    repeated = ((values >> 8) == (values & 255)).all()  # 8 bits times 257
    return bool((values & 15).any()) and not bool(repeated)


def _tell(bits: int, what: str) -> None:
    if bits in _told:
        return
    _told.add(bits)
    warnings.warn(
        f"{what}: {(1 << bits) - 1} is taken as white, here and in similar images; if that is wrong, "
        "save them with 8 bits, or scaled to 16",
        stacklevel=6,
    )


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _is_cut(image: Image.Image) -> bool:
    tiles = getattr(image, "tile", ())
    return any(";16" in str(tile[3]) for tile in tiles) and not _is_deep(image)


def _of_tiff(image: Any) -> Depth:
    tags = image.tag_v2
    if not _is_deep(image):
        return Depth(is_cut=_is_cut(image))
    inverted = _first(tags, _PHOTOMETRIC) == _MIN_IS_WHITE
    for lowest, highest in ((_SMIN, _SMAX), (_MIN, _MAX)):
        high, low = _first(tags, highest), _first(tags, lowest) or 0.0
        if high is not None and high > low:
            return Depth(low, high, inverted=inverted)
    bits = _first(tags, _BITS)
    if bits is not None and 8 < bits < 16:
        return Depth(high=float((1 << int(bits)) - 1), inverted=inverted)
    return Depth(inverted=inverted)


def _first(tags: Any, tag: int) -> float | None:
    value = tags.get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return float(value) if isinstance(value, int | float) else None


def _significant_bits(image: Any) -> int | None:
    """PNG's sBIT of the first channel, where it states fewer than sixteen."""
    file = image.fp
    if file is None or not _is_deep(image):
        return None
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"sBIT":
                bits = file.read(1)
                return bits[0] if bits and 0 < bits[0] < 16 else None
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, 1)
        return None
    finally:
        file.seek(place)
