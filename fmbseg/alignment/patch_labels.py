"""From a label of each pixel to a label of each patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def patch_labels(
    label_map: NDArray[np.int32],
    grid: tuple[int, int],
    num_classes: int,
    *,
    min_coverage: float = 0.5,
) -> NDArray[np.int64]:
    """Let the pixels of each patch vote for its class.

    The cells of ``grid`` are equal fractions of the image, because the image is resized to the grid's size
    in pixels before it is encoded. A pixel votes in the cell that its centre lies in, which is exact whether
    or not the sides divide; where the image has fewer pixels than the grid has cells, each pixel is first
    repeated.

    Args:
        label_map: class of each pixel, -1 for none, (H, W), integers.
        grid: height and width ``(h, w)`` of the patch grid.
        num_classes: classes are 0 to ``num_classes - 1``.
        min_coverage: share of the patch's pixels, those without a class included, that the winning class must
            cover, above 0 to 1; below it the patch has no class.

    Returns:
        The class of each patch, -1 for none, int64 (h, w). Of two classes with equally many pixels, the one
        with the lower index wins.

    Raises:
        ValueError: an empty map or grid, a label out of range, or a coverage outside (0, 1].

    Example:
        >>> import numpy as np
        >>> pixels = np.array([[0, 0, 1, -1], [0, 2, -1, -1]])
        >>> patch_labels(pixels, grid=(1, 2), num_classes=3).tolist()
        [[0, -1]]
    """
    _check(label_map, grid, num_classes, min_coverage)
    pixels = _at_least(label_map, grid)
    cell = _cells(pixels.shape, grid)
    cells = grid[0] * grid[1]
    area = np.bincount(cell.ravel(), minlength=cells)

    labelled = pixels >= 0
    # Only the classes that occur are counted: an image has a handful of a vocabulary's thousand.
    present, compact = np.unique(pixels[labelled], return_inverse=True)
    if len(present) == 0:
        return np.full(grid, -1, np.int64)
    ballots = cell[labelled] * len(present) + compact.ravel()
    votes = np.bincount(ballots, minlength=cells * len(present)).reshape(cells, len(present))
    winner = votes.argmax(axis=1)
    coverage = votes[np.arange(cells), winner] / area
    return np.where(coverage >= min_coverage, present[winner], -1).astype(np.int64).reshape(grid)


def patch_means(
    values: NDArray[np.float32], label_map: NDArray[np.int32], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Average values over the pixels of each patch that have the patch's class.

    Args:
        values: of each pixel, (H, W).
        label_map: class of each pixel, (H, W).
        labels: what :func:`patch_labels` made of it, (h, w).

    Returns:
        The mean of each patch, float32 (h, w); 0 where it has no class.

    Example:
        >>> pixels, values = np.array([[0, 0, 1, -1]]), np.array([[1.0, 0.5, 9.0, 9.0]], np.float32)
        >>> patch_means(values, pixels, patch_labels(pixels, (1, 1), 2)).tolist()
        [[0.75]]
    """
    grid = (labels.shape[0], labels.shape[1])
    pixels = _at_least(label_map, grid)
    cell = _cells(pixels.shape, grid)
    voted = (pixels == labels.ravel()[cell]) & (pixels >= 0)
    cells = grid[0] * grid[1]
    count = np.bincount(cell[voted], minlength=cells)
    total = np.bincount(cell[voted], _at_least(values, grid)[voted], minlength=cells)
    return (total / np.maximum(count, 1)).astype(np.float32).reshape(grid)


def _at_least(pixels: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    """The pixels, each repeated where there are fewer of them than cells."""
    rows = -(-grid[0] // pixels.shape[0])
    columns = -(-grid[1] // pixels.shape[1])
    return pixels.repeat(rows, axis=0).repeat(columns, axis=1)


def _cells(shape: tuple[int, ...], grid: tuple[int, int]) -> NDArray[np.int64]:
    """The number of the cell that each pixel votes in, (H, W)."""
    row_of, column_of = (_cell_of_pixel(n, cells) for n, cells in zip(shape, grid, strict=True))
    return row_of[:, None] * grid[1] + column_of[None, :]


def _cell_of_pixel(pixels: int, cells: int) -> NDArray[np.int64]:
    """The cell that each pixel's centre lies in, in integers: floor((i + 1/2) * cells / pixels)."""
    return (2 * np.arange(pixels, dtype=np.int64) + 1) * cells // (2 * pixels)


def _check(
    label_map: NDArray[np.int32], grid: tuple[int, int], num_classes: int, min_coverage: float
) -> None:
    if label_map.ndim != 2 or label_map.size == 0 or label_map.dtype.kind not in "iu":
        raise ValueError(
            f"label_map must be integers (H, W), not empty; got {label_map.dtype} {label_map.shape}"
        )
    if min(grid) < 1:
        raise ValueError(f"the patch grid must have at least one cell each way; got {grid}")
    if not 0 < min_coverage <= 1:
        raise ValueError(f"min_coverage is {min_coverage}: it must be above 0 and at most 1")
    low, high = int(label_map.min()), int(label_map.max())
    if low < -1 or high >= num_classes:
        raise ValueError(
            f"labels run from {low} to {high}, but classes are 0 to {num_classes - 1}, and -1 is for none"
        )
