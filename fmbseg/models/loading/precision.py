"""Half precision: one set of names and one context for everything that computes in it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast, get_args

import torch

Precision = Literal["auto", "fp32", "fp16", "bf16"]

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""The type of each precision but ``auto``, which the device decides."""


def check_precision(precision: str) -> Precision:
    """Return the name of a precision; refuse any other.

    Raises:
        ValueError: it is not one of the names, which the message lists.

    Example:
        >>> check_precision("fp8")
        Traceback (most recent call last):
        ...
        ValueError: precision is 'fp8': it must be one of auto, fp32, fp16, bf16
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision is {precision!r}: it must be one of {', '.join(get_args(Precision))}")
    return cast("Precision", precision)


def autocast(
    device: torch.device, precision: Precision, *, training: bool = False
) -> AbstractContextManager[object]:
    """Make the context in which a model computes.

    Args:
        device: where the model is.
        precision: for a frozen model, ``auto`` is ``bf16`` on a device that computes in it, else ``fp16``;
            on a CPU it computes in float32 whatever is asked for, so that results are exact and the same
            everywhere.
        training: if true, ``auto`` is ``bf16`` on a device that computes in it, else float32:
            bfloat16 has the range of float32, so gradients need no scaling. Others are used as asked.

    Example:
        >>> for training in (False, True):
        ...     with autocast(torch.device("cpu"), "bf16", training=training):
        ...         print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        torch.float32
        torch.bfloat16
    """
    chosen: str = precision
    if device.type == "cpu" and not training:
        chosen = "fp32"
    elif chosen == "auto":
        chosen = "bf16" if has_bfloat16(device) else "fp32" if training else "fp16"
    if chosen == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[chosen])


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself, without emulation; of a CPU that is not asked.

    Example:
        >>> has_bfloat16(torch.device("cpu"))
        False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "xpu"  # whose own choice under autocast it is
