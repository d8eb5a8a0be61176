"""The preprocessing that weights were trained with: stated, or else refused; never guessed."""

from __future__ import annotations

import math

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.transform import PixelTransform

INTERPOLATIONS = ("bilinear", "bicubic")


def stated_transform(
    mean: object, std: object, interpolation: object, stated: str, remedy: str
) -> PixelTransform:
    """Make the pixel transform from what is stated with a model.

    Args:
        mean: mean of each RGB channel in [0, 1], three numbers.
        std: standard deviation of each RGB channel, three numbers above 0.
        interpolation: ``bilinear`` or ``bicubic``.
        stated: what is stated, and where, for the message.
        remedy: where and how to state it.

    Raises:
        WeightsError: one of them is missing or invalid.

    Example:
        >>> stated_transform(None, None, "bicubic", "a.pth has neither", "pass mean=... and std=...")
        Traceback (most recent call last):
        ...
        fmbseg.models.loading.errors.WeightsError: a.pth has neither: nothing says which \
preprocessing the weights were trained with, and fmbseg does not guess; pass mean=... and std=...
    """
    if not (_three(mean) and _three(std) and min(std) > 0 and interpolation in INTERPOLATIONS):  # type: ignore[call-overload]
        raise WeightsError(
            f"{stated}: nothing says which preprocessing the weights were trained with, and fmbseg does not "
            f"guess; {remedy}"
        )
    return PixelTransform(tuple(map(float, mean)), tuple(map(float, std)), interpolation)  # type: ignore[arg-type,call-overload]


def channels(value: object) -> tuple[float, ...]:
    """Read one number for each channel, as a sequence or as written in a spec.

    Raises:
        ValueError: they are not three numbers.

    Example:
        >>> channels("0.5,0.5,0.25")
        (0.5, 0.5, 0.25)
    """
    numbers = tuple(float(one) for one in (value.split(",") if isinstance(value, str) else value))  # type: ignore[attr-defined]
    if len(numbers) != 3:
        raise ValueError("it takes three numbers, one for each of red, green and blue")
    return numbers


def _three(values: object) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) == 3
        and all(isinstance(one, int | float) and math.isfinite(one) for one in values)
    )
