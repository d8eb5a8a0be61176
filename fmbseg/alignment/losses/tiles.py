"""How large a tile of the matrix of all pairs of patches is: as the device's memory has it."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import torch

from fmbseg.devices import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

# 1,024 by 1,024 are 4 MB in float32, where the matrix of the 6,845 patches of five photographs is 187 MB, and
# automatic differentiation keeps several. A CPU is fastest with tiles that its cache holds.
CPU_SIDE = 1024
_LEAST, _MOST = 256, 8192
_SHARE = 1 / 4  # of the free memory
_TILES = 4  # that live at once in the backward pass

_sides: dict[torch.device, int] = {}
_told: set[torch.device] = set()


def with_tiles(compute: Callable[[int], torch.Tensor], vectors: torch.Tensor) -> torch.Tensor:
    """Compute with tiles as large as memory has it; half as large where the device runs out of it.

    Args:
        compute: from the side of a tile in patches; starts anew each time.
        vectors: what it computes with.

    Warns:
        UserWarning: where memory runs out; once for each device.
    """
    device = vectors.device
    while True:
        if device not in _sides and device.type != "cpu":
            _sides[device] = _side_for(_free_bytes(device), vectors.element_size())
        side = min(_sides.get(device, CPU_SIDE), max(1, len(vectors)))
        try:
            return compute(side)
        except RuntimeError as error:
            if not is_out_of_memory(error) or side <= _LEAST:
                raise
        _sides[device] = side // 2
        if device not in _told:
            warnings.warn(
                f"{device} ran out of memory in the loss: patches are compared in smaller blocks, with the "
                "same result",
                stacklevel=2,
            )
        _told.add(device)


def _side_for(free: int, element: int) -> int:
    return min(_MOST, max(_LEAST, math.isqrt(int(free * _SHARE) // (_TILES * element))))


def _free_bytes(device: torch.device) -> int:
    """Memory that is free on an accelerator; where it does not tell, all that it has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(getattr(torch, device.type).get_device_properties(device).total_memory)
