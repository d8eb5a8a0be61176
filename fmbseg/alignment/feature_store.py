"""Feature grids on disk: float16, memory-mapped, append-only; safe to share and to interrupt."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from fmbseg.checksums import encode_row, iterate_rows
from fmbseg.files import DamagedFileError, telling_of_a_full_disk

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DTYPE = np.dtype("<f2")


class FeatureKey(NamedTuple):
    """Which grid: the SHA-256 of the photograph's file, and the height and width in cells."""

    sha256: str
    height: int
    width: int


class _Place(NamedTuple):
    part: Path
    offset: int
    digest: str


class FeatureStore:
    """Grids of ``dim`` channels in a few large files, found by :class:`FeatureKey`.

    Every writer appends to a part of its own (``part-00003.f16`` and its index ``.jsonl``), so two runs may
    share a folder. A grid counts once its index line is whole, and is read if it and its key have the SHA-256
    of that line. A damaged grid, or one half written by a run that was killed, is treated as missing and
    written again; one warning reports damage.

    Args:
        folder: made if it does not exist.
        dim: channels of every grid.

    Example:
        >>> import tempfile, pathlib, numpy as np
        >>> key = FeatureKey("ab12", 1, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = FeatureStore(pathlib.Path(folder), 3)
        ...     store.write(key, np.ones((3, 1, 2), np.float16))
        ...     store.close()
        ...     store.read(key).shape, store.read(FeatureKey("ab12", 2, 2)) is None
        ((3, 1, 2), True)
    """

    def __init__(self, folder: Path, dim: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._dim = dim
        self._places: dict[FeatureKey, _Place] = {}
        self._sound: set[FeatureKey] = set()
        self._part: BinaryIO | None = None
        self._index: BinaryIO | None = None
        self._chain = 0
        self._told = False
        for index in sorted(folder.glob("part-*.jsonl")):
            self._read_index(index)

    def close(self) -> None:
        """Close the files that are open for writing; reading still works."""
        for file in (self._part, self._index):
            if file is not None:
                file.close()
        self._part = self._index = None

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._places

    def read(self, key: FeatureKey) -> NDArray[np.float16] | None:
        """The grid (dim, height, width), memory-mapped, or None if it is missing or damaged."""
        place = self._places.get(key)
        if place is None:
            return None
        shape = (self._dim, key.height, key.width)
        size = place.part.stat().st_size if place.part.is_file() else 0
        whole = size >= place.offset + _DTYPE.itemsize * self._dim * key.height * key.width
        grid = np.memmap(place.part, _DTYPE, "r", place.offset, shape) if whole else None
        if key in self._sound and grid is not None:  # checked once: an epoch reads every grid again
            return grid
        if grid is None or _digest(key, grid.data) != place.digest:
            self._tell(f"{place.part} is damaged: it does not have the checksums that it was written with")
            del self._places[key]
            return None
        self._sound.add(key)
        return grid

    def write(self, key: FeatureKey, grid: NDArray[np.float16]) -> None:
        """Append a grid (dim, height, width); a key that is already here gets the new one.

        Raises:
            ValueError: another shape.
        """
        if grid.shape != (self._dim, key.height, key.width):
            raise ValueError(f"the grid of {key} must be ({self._dim}, height, width); got {grid.shape}")
        if self._part is None or self._index is None:
            self._part, self._index = self._new_part()
        part = Path(self._part.name)
        content = np.ascontiguousarray(grid, _DTYPE).tobytes()
        place = _Place(part, self._part.tell(), _digest(key, content))
        with telling_of_a_full_disk(part):
            self._part.write(content)
            self._part.flush()
            # The line goes last: a grid is announced only when it is there.
            row = {**key._asdict(), "offset": place.offset, "digest": place.digest}
            line, self._chain = encode_row(row, self._chain)
            self._index.write(line)
            self._index.flush()
        self._places[key] = place
        self._sound.discard(key)

    def _read_index(self, index: Path) -> None:
        """Read the index of a part, up to the first damaged line."""
        try:
            for row, _, _ in iterate_rows(index):
                key = FeatureKey(row["sha256"], row["height"], row["width"])
                self._places[key] = _Place(index.with_suffix(".f16"), row["offset"], row["digest"])
        except (DamagedFileError, OSError) as error:
            self._tell(str(error))

    def _tell(self, what: str) -> None:
        if not self._told:
            warnings.warn(f"{what}. What cannot be read is computed again", stacklevel=4)
        self._told = True

    def _new_part(self) -> tuple[BinaryIO, BinaryIO]:
        number = len(list(self._folder.glob("part-*.f16")))
        while True:
            path = self._folder / f"part-{number:05d}.f16"
            try:
                part = path.open("xb")
            except FileExistsError:  # another run took this name first
                number += 1
                continue
            self._chain = 0
            return part, path.with_suffix(".jsonl").open("wb")


def _digest(key: FeatureKey, content: bytes | memoryview) -> str:
    digest = hashlib.sha256(repr(tuple(key)).encode())
    digest.update(content)
    return digest.hexdigest()
