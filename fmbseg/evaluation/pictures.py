"""Pictures of a run's worst and best images; only those are kept during the run."""

from __future__ import annotations

import warnings
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fmbseg.files import encode
from fmbseg.written import OwnResults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from fmbseg.written import WrittenFiles

FOLDER = "pictures"
LONGEST_SIDE = 360
_QUALITY = 80


class RunPictures:
    """The pictures of a run; each has its own colours, so that none depends on which were drawn before it.

    Args:
        files: writes to the run's folder.
        most: how many of the worst and of the best images to keep.
        rows: lines of images measured earlier, whose pictures already exist.

    Attributes:
        scores: what each image that has a picture is chosen by, by key: its mIoU.
    """

    score = "miou"

    def __init__(self, files: WrittenFiles, most: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._files, self._most = files, most
        known = self._scores(rows)
        self.scores = {key: score for key, score in known.items() if files.keep(picture_name(key))}
        self._drop_the_rest()

    def offer(self, key: str, score: float | None, draw: Callable[[int], Image]) -> None:
        """Draw an image, its sides at most so long, if it is among those that are kept so far."""
        if score is None:  # nothing in it counts
            return
        self.scores[key] = score
        if key in self.chosen(self.scores):
            with self._files.path(picture_name(key)) as path:
                draw(LONGEST_SIDE).save(path, format="JPEG", quality=_QUALITY)
        else:
            del self.scores[key]
        self._drop_the_rest()

    def take(self, runs: Sequence[Path], rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Copy the pictures of several runs that are kept here."""
        own = OwnResults()
        scores = self._scores(rows)
        for key in sorted(self.chosen(scores)):
            for path in (run / picture_name(key) for run in runs):
                if path in own:
                    self._files.write(picture_name(key), path.read_bytes())
                    self.scores[key] = scores[key]
                elif path.is_file():
                    warnings.warn(f"{path} was changed since it was drawn: it is left out", stacklevel=3)
        self._drop_the_rest()

    def chosen(self, scores: Mapping[str, float]) -> set[str]:
        """The images that are kept of these."""
        return {key for keys in worst_and_best(scores, self._most) for key in keys}

    def _scores(self, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        return {key: row[self.score] for key, row in rows.items() if row.get(self.score) is not None}

    def _drop_the_rest(self) -> None:
        for dropped in self.scores.keys() - self.chosen(self.scores):
            del self.scores[dropped]
            self._files.discard(picture_name(dropped))


class DifferencePictures(RunPictures):
    """Pictures of the images where two methods are furthest apart."""

    score = "apart"

    def chosen(self, scores: Mapping[str, float]) -> set[str]:
        """The images that are kept of these."""
        return set(sorted(scores, key=lambda key: (-scores[key], key))[: self._most])


def worst_and_best(scores: Mapping[str, float], most: int) -> tuple[list[str], list[str]]:
    """Keys of the worst images, worst first, and of the best; no image is in both.

    Example:
        >>> worst_and_best({"a": 0.2, "b": 0.9, "c": 0.1}, 2)
        (['c', 'a'], ['b'])
    """
    order = sorted(scores, key=lambda key: (scores[key], key))
    worst = order[: min(most, (len(order) + 1) // 2)]
    return worst, order[len(worst) :][::-1][:most]


def picture_name(key: str) -> str:
    """A picture's path in its run's folder; a hash separates keys that differ only in their slashes.

    Example:
        >>> picture_name("a/b")
        'pictures/a_b-c14cddc0.jpg'
    """
    readable = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in key)[-60:]
    return f"{FOLDER}/{readable}-{sha256(encode(key)).hexdigest()[:8]}.jpg"
