"""The seeded draw of the masks that are trained on (paper §4.1: 75 % of those of Stage 1.2)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_masks(count: int, key: str, *, fraction: float = 0.75, seed: int = 0) -> NDArray[np.bool_]:
    """Draw a share of a photograph's masks, rounded; the seed and the key decide which.

    Args:
        count: of masks.
        key: what this photograph's draw depends on: its path, so that other photographs have no influence.
        fraction: part that is drawn, 0 to 1.
        seed: of the draw.

    Returns:
        (count,), true for those that were drawn.

    Example:
        >>> int(draw_masks(8, "dog.jpg").sum())
        6
    """
    number = int.from_bytes(sha256(f"{seed}\n{key}".encode()).digest()[:8], "big")
    kept = np.zeros(count, dtype=np.bool_)
    kept[np.random.default_rng(number).permutation(count)[: round(fraction * count)]] = True
    return kept
