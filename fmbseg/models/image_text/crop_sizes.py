"""The side of the crops that a tower is given."""

from __future__ import annotations


def checked_crop_size(asked: int | str, stride: int) -> int:
    """Return the side in pixels that was asked for, as a number or as written in a spec.

    Raises:
        ValueError: it is no multiple of ``stride``.

    Example:
        >>> checked_crop_size("336", 14)
        336
        >>> checked_crop_size(300, 14)
        Traceback (most recent call last):
        ...
        ValueError: crop_size is 300: it must be a multiple of the model's stride, 14 px
    """
    side = int(asked) if str(asked).isdecimal() else 0
    if side < stride or side % stride:
        raise ValueError(f"crop_size is {asked}: it must be a multiple of the model's stride, {stride} px")
    return side
