"""Checking run lengths that come from outside: pycocotools accepts run lengths that are too short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LONGEST = 8  # characters of a run: 40 bits


def check_counts(counts: bytes, size: tuple[int, int]) -> None:
    """Check that COCO's compressed run lengths fill an image exactly.

    Args:
        counts: as pycocotools writes them.
        size: height and width of the image, in pixels.

    Raises:
        ValueError: they are not run lengths, or their pixels do not add up to the image.

    Example:
        >>> check_counts(b"0h0", (4, 6))
        >>> check_counts(b"5", (4, 6))
        Traceback (most recent call last):
        ValueError: its run lengths have 5 pixels, the image 4 x 6 = 24
    """
    runs = _run_lengths(counts)
    _check(int(runs.min(initial=0)), int(runs.sum()), size)


def check_runs(runs: Sequence[int], size: tuple[int, int]) -> None:
    """Check that run lengths, as numbers, fill an image exactly.

    Raises:
        ValueError: one is negative, or their pixels do not add up to the image.
    """
    _check(min(runs, default=0), sum(runs), size)


def _check(least: int, pixels: int, size: tuple[int, int]) -> None:
    if least < 0:
        raise ValueError(f"its run lengths contain a negative number, {least}")
    if pixels != size[0] * size[1]:
        raise ValueError(
            f"its run lengths have {pixels} pixels, the image {size[0]} x {size[1]} = {size[0] * size[1]}"
        )


def _run_lengths(counts: bytes) -> NDArray[np.int64]:
    """COCO's code: five bits a character from 48 on, the lowest first; 32 says that more follow.

    From the fourth on, a run is its difference from the run two before it, in two's complement.
    """
    bits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    foreign = np.flatnonzero((bits < 0) | (bits > 63))
    if len(foreign):
        character = chr(counts[foreign[0]])
        raise ValueError(f"its run lengths contain the invalid character {character!r}")
    if not len(bits):
        return bits
    if bits[-1] & 32:
        raise ValueError("its run lengths end in the middle of a number")
    ends = np.flatnonzero(bits & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise ValueError("its run lengths contain a run longer than any image")
    shifts = 5 * (np.arange(len(bits)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((bits & 31) << shifts, starts)
    runs -= np.where(bits[ends] & 16, 1 << 5 * lengths, 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs
