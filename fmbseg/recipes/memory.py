"""How much memory a device has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def device_gigabytes(device: torch.device) -> float | None:
    """All the memory of a device in gigabytes (1e9 bytes), used or not; ``None`` if unknown."""
    import torch

    if device.type in ("cuda", "xpu"):
        return float(getattr(torch, device.type).get_device_properties(device).total_memory) / 1e9
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory()) / 1e9
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no such call
        return None
    limit = _CONTAINER.read_text().strip() if _CONTAINER.is_file() else ""
    return min(whole, int(limit)) / 1e9 if limit.isdigit() else whole / 1e9
