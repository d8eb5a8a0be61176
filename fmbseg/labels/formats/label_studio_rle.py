"""The run lengths in which Label Studio keeps brush strokes: those of the JavaScript library rle-pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CHANNELS = 4  # red, green, blue, opacity; Label Studio reads the last
_WIDTHS = (4, 8, 16)  # bits of a run's length, of which two bits choose; the fourth is not used
_HEADER = "{:032b}" + f"{8 - 1:05b}" + "".join(f"{width - 1:04b}" for width in (*_WIDTHS, 16))


def brush_of(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask as Label Studio does.

    Args:
        mask: (H, W).

    Returns:
        Bytes, each 0 to 255: a header, then for each run of equal values a bit 1, two bits for the width of
        its length, the length minus 1, and the value.

    Example:
        >>> mask_of(brush_of(np.eye(3, dtype=bool)), (3, 3)).astype(int).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    bits = [_HEADER.format(flat.size * _CHANNELS)]
    for start, length in zip(starts[:-1].tolist(), np.diff(starts).tolist(), strict=True):
        value = f"{255 if flat[start] else 0:08b}"
        left = length * _CHANNELS
        while left:
            run = min(left, 1 << _WIDTHS[-1])
            kind = next(index for index, width in enumerate(_WIDTHS) if run <= 1 << width)
            bits.append(f"1{kind:02b}{run - 1:0{_WIDTHS[kind]}b}{value}")
            left -= run
    text = "".join(bits)
    padded = text.ljust(-(-len(text) // 8) * 8, "0")
    return list(int(padded, 2).to_bytes(len(padded) // 8, "big"))


def mask_of(rle: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode what Label Studio, or :func:`brush_of`, wrote.

    Args:
        rle: bytes, each 0 to 255.
        size: height and width in pixels.

    Returns:
        (H, W), where the brush is opaque at all.

    Raises:
        ValueError: it is damaged, or not of this size.
    """
    bits = _Bits(rle)
    count, word = bits.read(32), bits.read(5) + 1
    if count != size[0] * size[1] * _CHANNELS:
        raise ValueError(f"its brush has {count} values, not {_CHANNELS} a pixel of {size[0]} x {size[1]}")
    widths = [bits.read(4) + 1 for _ in range(4)]
    values = np.empty(count, np.uint32)
    done = 0
    while done < count:
        same = bits.read(1)
        end = done + 1 + bits.read(widths[bits.read(2)])
        if end > count:
            raise ValueError("its brush has a run that leaves the image")
        values[done:end] = bits.read(word) if same else [bits.read(word) for _ in range(end - done)]
        done = end
    return np.asarray(values.reshape(*size, _CHANNELS)[..., -1] > 0)


class _Bits:
    """Reads whole numbers from bytes, the highest bit first."""

    def __init__(self, content: Sequence[int]) -> None:
        try:
            self._content = bytes(content)
        except (ValueError, TypeError) as error:
            raise ValueError("its brush is not a list of bytes") from error
        self._place = 0

    def read(self, count: int) -> int:
        start, end = self._place, self._place + count
        if end > 8 * len(self._content):
            raise ValueError("its brush ends in the middle of a run")
        last = -(-end // 8)
        number = int.from_bytes(self._content[start // 8 : last], "big") >> (8 * last - end)
        self._place = end
        return number & ((1 << count) - 1)
