"""Feature grids on disk: float16, memory-mapped, append-only, safe to share and to interrupt."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TextIO

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

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
    crc: int


class FeatureStore:
    """Grids of ``dim`` channels in a few large files, found by :class:`FeatureKey`.

    Every writer appends to a part of its own (``part-00003.f16`` and its index ``.jsonl``), so two runs may
    share a folder. A grid counts once its index line is whole and its bytes have the checksum of that line;
    what a run that was killed left half written is not found and is written again.

    Args:
        folder: made if it does not exist.
        dim: channels of every grid.

    Example:
        >>> import tempfile, pathlib, numpy as np
        >>> key = FeatureKey("ab12", 1, 2)
        >>> with tempfile.TemporaryDirectory() as folder, FeatureStore(pathlib.Path(folder), 3) as store:
        ...     store.write(key, np.ones((3, 1, 2), np.float16))
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
        self._index: TextIO | None = None
        for index in sorted(folder.glob("part-*.jsonl")):
            self._places.update(_read_index(index))

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that are written to; reading goes on to work."""
        for file in (self._part, self._index):
            if file is not None:
                file.close()
        self._part = self._index = None

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._places

    def read(self, key: FeatureKey) -> NDArray[np.float16] | None:
        """The grid (dim, height, width), memory-mapped, or None if it is not here or damaged."""
        place = self._places.get(key)
        if place is None:
            return None
        shape = (self._dim, key.height, key.width)
        size = place.part.stat().st_size if place.part.is_file() else 0
        if size < place.offset + _DTYPE.itemsize * self._dim * key.height * key.width:
            return None
        grid = np.memmap(place.part, _DTYPE, mode="r", offset=place.offset, shape=shape)
        if key not in self._sound:  # once: an epoch reads every grid again
            if zlib.crc32(grid.data) != place.crc:
                return None
            self._sound.add(key)
        return grid

    def write(self, key: FeatureKey, grid: NDArray[np.float16]) -> None:
        """Append a grid (dim, height, width); a key that is here already gets the new one.

        Raises:
            ValueError: another shape.
        """
        if grid.shape != (self._dim, key.height, key.width):
            raise ValueError(f"the grid of {key} must be ({self._dim}, height, width); got {grid.shape}")
        if self._part is None or self._index is None:
            self._part, self._index = self._new_part()
        content = np.ascontiguousarray(grid, _DTYPE).tobytes()
        place = _Place(self._folder / self._part.name, self._part.tell(), zlib.crc32(content))
        self._part.write(content)
        self._part.flush()
        # The line goes last: a grid is announced only when it is there.
        self._index.write(json.dumps([*key, place.offset, place.crc]) + "\n")
        self._index.flush()
        self._places[key] = place
        self._sound.discard(key)

    def _new_part(self) -> tuple[BinaryIO, TextIO]:
        number = len(list(self._folder.glob("part-*.f16")))
        while True:
            path = self._folder / f"part-{number:05d}.f16"
            try:
                part = path.open("xb")
            except FileExistsError:  # another run was faster
                number += 1
                continue
            return part, path.with_suffix(".jsonl").open("w", encoding="ascii")


def _read_index(index: Path) -> dict[FeatureKey, _Place]:
    places = {}
    part = index.with_suffix(".f16")
    for line in index.read_text(encoding="ascii", errors="replace").splitlines(keepends=True):
        if not line.endswith("]\n"):
            break  # cut short: nothing was written after it
        sha256, height, width, offset, crc = json.loads(line)
        places[FeatureKey(sha256, height, width)] = _Place(part, offset, crc)
    return places
