"""One photograph of a training, and the part of it that an epoch uses."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.alignment.mask_targets import MaskFeatures
    from fmbseg.labels.record import PhotographFile

_LONGEST_OVER_SHORTEST = 4  # a longer panorama is made smaller, or it would not fit in memory


@dataclass(frozen=True, eq=False)
class TrainingExample:
    """One photograph.

    Attributes:
        path: where its file is.
        sha256: that of the file.
        size: height and width in pixels that it is encoded at.
        labels: class of each patch among the training's K classes, -1 for none, int16 (h, w).
        weights: probability that each patch takes part in an epoch, float32 (h, w); None for 1.
        masks: the photograph's masks with their features; None if they are not asked for.
    """

    path: PhotographFile
    sha256: str
    size: tuple[int, int]
    labels: NDArray[np.int16]
    weights: NDArray[np.float32] | None = None
    masks: MaskFeatures | None = None

    def drawn_labels(self, seed: int, epoch: int) -> NDArray[np.int16]:
        """The labels that take part in an epoch, -1 for all others, int16 (h, w).

        The draw depends on the seed, the epoch and the photograph alone, so a training continued from a
        checkpoint draws what an uninterrupted one does.
        """
        if self.weights is None:
            return self.labels
        chance = self._random("labels", seed, epoch).random(self.labels.shape, np.float32)
        return np.where(chance < self.weights, self.labels, np.int16(-1))

    def drawn_places(self, most: int | None, seed: int, epoch: int) -> NDArray[np.int64] | None:
        """The cells that take part in an epoch, as places in reading order; None for all.

        Args:
            most: how many at most; None for all.
            seed: of the training; what is drawn depends on it, the epoch and the photograph alone.
            epoch: from 1.
        """
        cells = self.labels.size
        if most is None or most >= cells:
            return None
        return self._random("places", seed, epoch).choice(cells, most, replace=False)

    def _random(self, what: str, seed: int, epoch: int) -> np.random.Generator:
        digest = sha256(f"{what}/{seed}/{epoch}/{self.sha256}".encode()).digest()
        return np.random.default_rng(list(digest))


def training_size(size: tuple[int, int], image_size: int, stride: int) -> tuple[int, int]:
    """Height and width to encode a photograph at: aspect kept, sides multiples of ``stride``.

    The short side becomes ``image_size``, unless the long side would then exceed four times that.

    Args:
        size: height and width of the photograph, in pixels.
        image_size: of the short side, in pixels.
        stride: of the backbone, in pixels.

    Example:
        >>> training_size((375, 500), 448, 16), training_size((100, 5000), 448, 16)
        ((448, 592), (32, 1792))
    """
    scale = min(image_size / min(size), _LONGEST_OVER_SHORTEST * image_size / max(size))
    height, width = (max(1, round(side * scale / stride)) * stride for side in size)
    return height, width
