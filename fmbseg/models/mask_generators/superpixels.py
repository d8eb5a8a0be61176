"""Masks without weights: graph-based superpixels at several scales (needs scikit-image only).

A stand-in when no mask model is available. It takes no prompts, so Stage 1.1 is left out with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmbseg.masks import MaskSet
from fmbseg.missing_package import require
from fmbseg.models.checks import check_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WORK_SIDE = 512
_SCALES = (1000.0, 300.0, 100.0)
_MIN_AREA = 0.001


class Superpixels:
    """Mask generator that takes the regions of a graph-based segmentation at several scales.

    Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004.
    The image is segmented with its longest side at most 512 pixels; the masks have the size of the image.
    A region that two scales agree on appears once. ``predicted_iou`` and ``stability`` are 1: nothing is
    known about them.

    Args:
        scales: larger scales make larger regions.
        min_area_fraction: regions smaller than this fraction of the image are merged into others.

    Raises:
        ValueError: there is no scale, one is not positive, or the fraction is outside 0 to 1.
        ImportError: scikit-image is not installed.

    Example:
        >>> import numpy as np
        >>> halves = np.zeros((40, 60, 3), np.uint8)
        >>> halves[:, 30:] = 255
        >>> Superpixels(scales=(300,), min_area_fraction=0.1).begin(halves).everything().areas.tolist()
        [1200, 1200]
    """

    spec: str = "superpixels"
    promptable: bool = False
    license: str = "BSD-3-Clause"  # scikit-image's; there are no weights

    def __init__(self, scales: Sequence[float] = _SCALES, min_area_fraction: float = _MIN_AREA) -> None:
        require("skimage", "offline", "superpixels")
        if not scales or not all(0 < scale < float("inf") for scale in scales):
            raise ValueError(f"scales are {tuple(scales)}: give one or more positive numbers")
        if not 0 <= min_area_fraction < 1:
            raise ValueError(f"min_area_fraction is {min_area_fraction}: it must be in 0 to 1, 1 excluded")
        self.scales = tuple(sorted(scales, reverse=True))
        self.min_area_fraction = min_area_fraction

    @property
    def options(self) -> dict[str, Any]:
        """What differs from the defaults; with the spec it determines the masks."""
        given = {"scales": self.scales, "min_area_fraction": self.min_area_fraction}
        defaults = {"scales": _SCALES, "min_area_fraction": _MIN_AREA}
        return {name: value for name, value in given.items() if value != defaults[name]}

    def begin(self, image: NDArray[np.uint8]) -> SuperpixelPrompter:
        """Take an RGB image (H, W, 3); the work is done by ``everything``.

        Raises:
            ValueError: it is not an RGB image of uint8.
        """
        check_image(image, self.spec)
        return SuperpixelPrompter(image, self)


class SuperpixelPrompter:
    """One image to be cut into regions.

    Args:
        image: RGB, (H, W, 3).
        settings: the generator that this belongs to.
    """

    def __init__(self, image: NDArray[np.uint8], settings: Superpixels) -> None:
        self._image = image
        self._settings = settings

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Refuse: regions have one colour, and neither a point nor a box says which of them form one thing.

        Raises:
            NotImplementedError: always; ``promptable`` is false.
        """
        given = f"{len(points)} sets of points" if boxes is None else f"{len(boxes)} boxes"
        raise NotImplementedError(
            f"superpixels take no points and no boxes ({given} were given), as a region is of one colour and"
            " not of one thing: look at `promptable` first, or use a promptable mask generator such as"
            " 'mobilesam'"
        )

    def everything(self) -> MaskSet:
        """Return the regions of all scales, those of the coarsest scale first."""
        height, width = self._image.shape[:2]
        regions: dict[bytes, MaskSet] = {}  # by run lengths, which are equal for equal masks
        for scale in self._settings.scales:
            labels = self._labels(scale)
            for label in range(labels.max() + 1):
                mask = MaskSet.from_masks((labels == label)[None])
                if mask.areas[0]:
                    regions.setdefault(mask.rles[0], mask)
        return MaskSet.concat(list(regions.values())) if regions else MaskSet.empty((height, width))

    def _labels(self, scale: float) -> NDArray[np.int32]:
        """Number the regions of one scale, (H, W) from 0."""
        from skimage.segmentation import felzenszwalb

        height, width = self._image.shape[:2]
        shrink = min(1.0, _WORK_SIDE / max(height, width))
        small = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        image = Image.fromarray(self._image).resize(small[::-1], Image.Resampling.BILINEAR)
        min_size = max(1, round(self._settings.min_area_fraction * small[0] * small[1]))
        labels = felzenszwalb(np.asarray(image), scale=scale, sigma=0.8, min_size=min_size)
        whole = Image.fromarray(labels.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(whole, dtype=np.int32)


def superpixels(*, scales: Sequence[float] = _SCALES, min_area_fraction: float = _MIN_AREA) -> Superpixels:
    """Make the mask generator that needs no weights; see :class:`Superpixels`."""
    return Superpixels(scales, min_area_fraction)
