"""From the processor's memory to the device that computes, without waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


def sent(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """A copy of an array on a device.

    Example:
        >>> sent(np.arange(3), torch.device("cpu"))
        tensor([0, 1, 2])
    """
    tensor = torch.from_numpy(np.array(array))
    if device.type != "cuda":
        return tensor.to(device)
    # From pinned memory the device copies by itself, after what it has been asked to do before.
    return tensor.pin_memory().to(device, non_blocking=True)
