"""Half precision where an accelerator computes, exact float32 on a CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast, get_args

import torch

Precision = Literal["auto", "fp32", "fp16", "bf16"]

_TYPES = {"auto": torch.float16, "fp16": torch.float16, "bf16": torch.bfloat16}


def check_precision(precision: str) -> Precision:
    """Return the name of a precision, and refuse any other.

    Raises:
        ValueError: with the names that there are.

    Example:
        >>> check_precision("fp8")
        Traceback (most recent call last):
        ...
        ValueError: precision is 'fp8': it must be one of auto, fp32, fp16, bf16
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision is {precision!r}: it must be one of {', '.join(get_args(Precision))}")
    return cast("Precision", precision)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Make the context in which a model computes.

    Args:
        device: where the model is.
        precision: ``auto`` is ``fp16``; a CPU computes in float32 whatever is asked for, so that results on
            a CPU are exact and the same everywhere.

    Example:
        >>> with autocast(torch.device("cpu"), "bf16"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    if device.type == "cpu" or precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_TYPES[precision])
