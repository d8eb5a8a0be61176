"""Checking run lengths that come from outside: pycocotools takes what is too short for a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_counts(counts: bytes, size: tuple[int, int]) -> None:
    """Check that COCO's compressed run lengths fill an image exactly.

    Args:
        counts: as pycocotools writes them.
        size: height and width of the image, in pixels.

    Raises:
        ValueError: they are no run lengths, or of another number of pixels.

    Example:
        >>> check_counts(b"0h0", (4, 6))
        >>> check_counts(b"5", (4, 6))
        Traceback (most recent call last):
        ValueError: its run lengths have 5 pixels, the image 4 x 6 = 24
    """
    check_runs(_run_lengths(counts), size)


def check_runs(runs: Sequence[int], size: tuple[int, int]) -> None:
    """Check that run lengths, as numbers, fill an image exactly.

    Raises:
        ValueError: one is negative, or they have another number of pixels.
    """
    if any(run < 0 for run in runs):
        raise ValueError(f"its run lengths have a negative one, {min(runs)}")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(
            f"its run lengths have {sum(runs)} pixels, the image {size[0]} x {size[1]} = {size[0] * size[1]}"
        )


def _run_lengths(counts: bytes) -> list[int]:
    """COCO's code: five bits a character from 48 on, the lowest first; 32 says that more follow.

    From the fourth on, a run stands as its difference to the one before the last, in two's complement.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(
                f"its run lengths have the character {chr(character)!r}, which is none of theirs"
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its run lengths end in the middle of one")
    return runs
