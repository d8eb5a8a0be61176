"""Pictures of a run's worst and best images: only those are kept, while the run goes on."""

from __future__ import annotations

import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.results import Segmentation

FOLDER = "pictures"
_LONGEST_SIDE = 360
_QUALITY = 80


class PictureFolder:
    """The folder ``pictures`` of a run.

    Args:
        run: the run's folder.
        most: of the worst and of the best images each.
        rows: lines of images that were measured before, whose pictures are there already.
    """

    def __init__(self, run: Path, most: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder, self._most = run / FOLDER, most
        self._scores = {
            key: row["miou"]
            for key, row in rows.items()
            if row.get("miou") is not None and picture_path(run, key).is_file()
        }

    def offer(self, key: str, score: float | None, result: Segmentation, target: NDArray[np.int32]) -> None:
        """Draw an image beside its target if it is among the worst or the best so far."""
        if score is None:  # nothing in it counts
            return
        self._scores[key] = score
        kept = {*worst_and_best(self._scores, self._most)[0], *worst_and_best(self._scores, self._most)[1]}
        path = picture_path(self._folder.parent, key)
        if key in kept:
            self._folder.mkdir(exist_ok=True)
            result.compare(target, max_side=_LONGEST_SIDE).save(path, format="JPEG", quality=_QUALITY)
        for dropped in [other for other in self._scores if other not in kept]:
            del self._scores[dropped]
            picture_path(self._folder.parent, dropped).unlink(missing_ok=True)

    @classmethod
    def join(cls, runs: Sequence[Path], out: Path, most: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Copy the pictures of several runs' worst and best images together."""
        scores = {key: row["miou"] for key, row in rows.items() if row.get("miou") is not None}
        for key in {key for keys in worst_and_best(scores, most) for key in keys}:
            for run in runs:
                if picture_path(run, key).is_file():
                    (out / FOLDER).mkdir(exist_ok=True)
                    shutil.copyfile(picture_path(run, key), picture_path(out, key))


def worst_and_best(scores: Mapping[str, float], most: int) -> tuple[list[str], list[str]]:
    """Keys of the worst images, the worst first, and of the best; no image is in both.

    Example:
        >>> worst_and_best({"a": 0.2, "b": 0.9, "c": 0.1}, 2)
        (['c', 'a'], ['b'])
    """
    order = sorted(scores, key=lambda key: (scores[key], key))
    worst = order[: min(most, (len(order) + 1) // 2)]
    return worst, order[len(worst) :][::-1][:most]


def picture_path(run: Path, key: str) -> Path:
    """Where a run keeps an image's picture; a hash tells apart keys that look alike without their slashes."""
    readable = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in key)[-60:]
    return run / FOLDER / f"{readable}-{sha256(key.encode()).hexdigest()[:8]}.jpg"
