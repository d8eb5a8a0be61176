"""Stage 1.1: where a class is most likely, as points for the mask model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray


def query_points(
    dense: torch.Tensor,
    prototypes: torch.Tensor,
    detected: Sequence[int],
    size: tuple[int, int],
    *,
    points_per_class: int = 5,
) -> list[NDArray[np.float32]]:
    """For each detected class, the centres of the cells that are most similar to it (paper §3.2: five).

    Args:
        dense: unit vectors of the stitched map, (D, h, w).
        prototypes: one unit vector a class, (K, D).
        detected: indices of classes.
        size: height and width of the photograph in pixels.
        points_per_class: points a class; all cells where the map has fewer.

    Returns:
        For each detected class its points (P, 2), as (x, y) in pixels of the photograph, best first.
    """
    _, rows, columns = dense.shape
    similarity = prototypes[list(detected)] @ dense.flatten(1)
    best = similarity.topk(min(points_per_class, rows * columns), dim=1).indices.cpu().numpy()
    y = (best // columns + 0.5) / rows * size[0]
    x = (best % columns + 0.5) / columns * size[1]
    return list(np.stack([x, y], axis=-1).astype(np.float32))
