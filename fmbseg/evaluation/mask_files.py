"""Class masks in files: one channel of values, each of which means a class, no class, or an error."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.evaluation.confusion import NO_CLASS
from fmbseg.files import check_regular
from fmbseg.images import load_image
from fmbseg.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fmbseg.sources.stored_path import AnyPath

UNKNOWN = -2
"""In a table of values: a value that must not occur."""


class DataSetError(ValueError):
    """A data set is not laid out as expected; the message names the file and what it must be."""


def value_table(classes: Mapping[int, int], ignored: range | list[int]) -> NDArray[np.int32]:
    """The class that each value of a mask means, (256,): -1 for no class, -2 for an error.

    Args:
        classes: value to class.
        ignored: values that mean no class.

    Example:
        >>> value_table({1: 0}, [0, 255])[[0, 1, 2, 255]].tolist()
        [-1, 0, -2, -1]
    """
    table = np.full(256, UNKNOWN, dtype=np.int32)
    table[list(ignored)] = NO_CLASS
    table[list(classes)] = list(classes.values())
    return table


def read_mask(path: AnyPath) -> NDArray[np.uint8]:
    """Read a mask's values, (H, W); for a PNG with a palette these are the indices, not the colours.

    Raises:
        DataSetError: it cannot be read, or is not one channel of 8 bits.
        StorageError: the storage that it lies in cannot be read.
    """
    try:
        with Image.open(_opened(path)) as mask:
            if mask.mode not in ("L", "P"):
                raise DataSetError(
                    f"{path} is of mode {mask.mode}: a mask has one channel of 8 bits, the classes' values"
                )
            return np.asarray(mask, dtype=np.uint8)
    except (DataSetError, StorageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers fail on damaged bytes with nearly any exception
        raise DataSetError(f"{path} cannot be read: {error}") from error


def read_image(path: AnyPath) -> NDArray[np.uint8]:
    """Read an image (H, W, 3); raises as :func:`~fmbseg.images.load_image` does."""
    return load_image(path if isinstance(path, Path) else str(path))


def _opened(path: AnyPath) -> Path | BytesIO:
    if isinstance(path, Path):
        check_regular(path)
        return path
    return BytesIO(path.read_bytes())


def read_target(
    path: AnyPath, table: NDArray[np.int32], size: tuple[int, int], image: AnyPath, listed_in: str
) -> NDArray[np.int32]:
    """Read the classes of an image.

    Args:
        path: of the mask.
        table: as :func:`value_table` makes it.
        size: height and width of the image in pixels.
        image: its file, for messages.
        listed_in: where the allowed values are listed, for messages.

    Returns:
        The class of each pixel, -1 for none, (H, W).

    Raises:
        DataSetError: the mask cannot be read, has another size, or a value that means nothing.
    """
    values = read_mask(path)
    if values.shape != size:
        raise DataSetError(
            f"{path} has size {values.shape}, but {image} {size} (height, width): they must be the same"
        )
    target: NDArray[np.int32] = table[values]
    if np.any(target == UNKNOWN):
        unknown = np.unique(values[target == UNKNOWN]).tolist()
        raise DataSetError(f"{path} has the values {unknown}, which {listed_in} does not list")
    return target
