"""Which device computes, and what a device says when it cannot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

Device: TypeAlias = "torch.device | str | None"

AUTO = "auto"
ACCELERATORS = ("cuda", "mps", "xpu")
"""Kinds of devices that are preferred to the CPU, the best first."""

_NOT_IMPLEMENTED = re.compile(r"operator '([^']+)' is not currently implemented for the (MPS|XPU) device")


class DeviceError(ValueError):
    """A device that is not there, or that lacks what a model needs; the message says what to do."""


def find_device(wanted: Device = None) -> torch.device:
    """The device that computes.

    Args:
        wanted: ``None`` or ``"auto"`` for the best there is (CUDA, MPS or XPU, else the CPU); or a device
            that must be there, such as ``"cuda:1"`` or ``torch.device("cpu")``.

    Raises:
        DeviceError: there is no such device; the message says which there are.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
        >>> find_device("gpu")
        Traceback (most recent call last):
        ...
        fmbseg.devices.DeviceError: there is no device 'gpu': here are ...
    """
    import torch

    if wanted is None or wanted == AUTO:
        return torch.device(next((kind for kind in ACCELERATORS if _count(kind)), "cpu"))
    try:
        device = torch.device(wanted)
    except RuntimeError:  # a kind that PyTorch does not know
        raise _not_there(wanted) from None
    if device.type != "cpu" and (device.index or 0) >= _count(device.type):
        raise _not_there(wanted)
    return device


def device_name(device: torch.device) -> str:
    """A device with what it is called, for people.

    Example:
        >>> device_name(find_device("cpu"))
        'cpu'
    """
    import torch

    if device.type in ("cuda", "xpu"):
        return f"{device} ({getattr(torch, device.type).get_device_name(device)})"
    return str(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, not the machine, had too little memory: each kind says it in its own way."""
    import torch

    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "out of memory" in str(error)
    )


def lack_of_device(error: BaseException) -> DeviceError | None:
    """What an error of PyTorch's says of the device, and what to do; None if it is about something else.

    Args:
        error: raised while a model computed.

    Example:
        >>> print(lack_of_device(RuntimeError("MPS backend out of memory (MPS allocated: 17 GB). Tried ...")))
        MPS backend out of memory (MPS allocated: 17 GB): choose smaller images or another device, such as cpu
    """
    found = _NOT_IMPLEMENTED.search(str(error)) if isinstance(error, NotImplementedError) else None
    if found is not None:
        operator, kind = found.groups()
        return DeviceError(
            f"PyTorch has no {operator!r} for {kind}: set PYTORCH_ENABLE_{kind}_FALLBACK=1 before Python "
            "starts, so that the CPU computes it, slowly; or choose the device cpu"
        )
    if is_out_of_memory(error):
        first = str(error).strip().partition("\n")[0].partition(". ")[0]
        return DeviceError(f"{first}: choose smaller images or another device, such as cpu")
    return None


def _count(kind: str) -> int:
    """Devices of a kind that are here and usable."""
    import torch

    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return {"cuda": torch.cuda, "xpu": torch.xpu}[kind].device_count() if kind in ACCELERATORS else 0


def _not_there(wanted: object) -> DeviceError:
    here = [f"{kind}:{index}" for kind in ACCELERATORS for index in range(_count(kind))]
    return DeviceError(
        f"there is no device {str(wanted)!r}: here are {', '.join([*here, 'cpu'])}; auto takes the best"
    )
