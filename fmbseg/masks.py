"""Binary masks of one image, kept as COCO run lengths: a few hundred bytes each instead of H x W."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from pycocotools import mask as coco

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class MaskSet:
    """N masks of one image with the mask model's two scores.

    Args:
        size: height and width of the image in pixels.
        rles: COCO compressed counts of each mask, as pycocotools makes them.
        predicted_iou: (N,) the model's own estimate of each mask's IoU; kept as float32.
        stability: (N,) IoU of the mask with itself at a lower and a higher threshold; kept as float32.

    Raises:
        ValueError: lengths that differ, or a size that is not positive.

    Example:
        >>> import numpy as np
        >>> square = np.zeros((1, 4, 6), bool)
        >>> square[0, 1:3, 2:5] = True
        >>> masks = MaskSet.from_masks(square)
        >>> len(masks), masks.areas.tolist(), masks.boxes.tolist()
        (1, [6], [[2.0, 1.0, 5.0, 3.0]])
    """

    size: tuple[int, int]
    rles: tuple[bytes, ...]
    predicted_iou: NDArray[np.float32]
    stability: NDArray[np.float32]

    def __post_init__(self) -> None:
        height, width = (int(side) for side in self.size)
        if height < 1 or width < 1:
            raise ValueError(f"size is height and width in pixels, both at least 1; got {self.size}")
        object.__setattr__(self, "size", (height, width))
        object.__setattr__(self, "rles", tuple(self.rles))
        for name in ("predicted_iou", "stability"):
            scores = np.asarray(getattr(self, name), dtype=np.float32)
            if scores.shape != (len(self.rles),):
                raise ValueError(
                    f"{name} must hold one number a mask, shape ({len(self.rles)},); got {scores.shape}"
                )
            object.__setattr__(self, name, scores)

    @classmethod
    def from_masks(
        cls,
        masks: NDArray[np.bool_],
        predicted_iou: ArrayLike | None = None,
        stability: ArrayLike | None = None,
    ) -> MaskSet:
        """Encode boolean masks.

        Args:
            masks: (N, H, W) bool.
            predicted_iou: (N,); ones if not given.
            stability: (N,); ones if not given.

        Raises:
            ValueError: masks that are not (N, H, W) bool.
        """
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise ValueError(
                f"masks must be bool of shape (N, H, W), got {masks.dtype} {masks.shape}; "
                f"compare logits with a threshold first, for example logits > 0"
            )
        ones = np.ones(len(masks), dtype=np.float32)
        # One at a time: pycocotools wants column-major bytes, and a copy of all masks may not fit.
        rles = tuple(coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"] for mask in masks)
        return cls(
            size=(masks.shape[1], masks.shape[2]),
            rles=rles,
            predicted_iou=ones if predicted_iou is None else np.asarray(predicted_iou, dtype=np.float32),
            stability=ones if stability is None else np.asarray(stability, dtype=np.float32),
        )

    @classmethod
    def empty(cls, size: tuple[int, int]) -> MaskSet:
        """An empty set of masks for an image of ``size`` (height, width)."""
        none = np.zeros(0, dtype=np.float32)
        return cls(size=size, rles=(), predicted_iou=none, stability=none)

    @classmethod
    def concat(cls, sets: Sequence[MaskSet]) -> MaskSet:
        """Join mask sets of one image, in order.

        Raises:
            ValueError: no set at all (use ``MaskSet.empty(size)``), or sizes that differ.
        """
        if not sets:
            raise ValueError("concat needs at least one MaskSet; for an empty set use MaskSet.empty(size)")
        sizes = sorted({one.size for one in sets})
        if len(sizes) > 1:
            raise ValueError(f"only masks of one image can be joined; got the sizes {sizes}")
        return cls(
            size=sizes[0],
            rles=tuple(rle for one in sets for rle in one.rles),
            predicted_iou=np.concatenate([one.predicted_iou for one in sets]),
            stability=np.concatenate([one.stability for one in sets]),
        )

    def __len__(self) -> int:
        return len(self.rles)

    def select(self, which: ArrayLike) -> MaskSet:
        """The masks at these positions, in this order.

        Args:
            which: (M,) integer positions, or (N,) bool.

        Raises:
            ValueError: a bool selection of another length than N.
            IndexError: a position outside 0 to N - 1.
        """
        chosen = np.atleast_1d(np.asarray(which))
        if chosen.dtype == np.bool_ and chosen.shape != (len(self),):
            raise ValueError(f"a bool selection must have shape ({len(self)},), got {chosen.shape}")
        positions = np.arange(len(self))[chosen if chosen.size else np.zeros(0, dtype=np.intp)]
        return MaskSet(
            size=self.size,
            rles=tuple(self.rles[position] for position in positions),
            predicted_iou=self.predicted_iou[positions],
            stability=self.stability[positions],
        )

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, (N,)."""
        # One at a time: pycocotools 2.0.11 with numpy 2 fails on a list of 256 masks or more.
        return np.array([coco.area(rle) for rle in self._coco()], dtype=np.int64)

    @property
    def coverage(self) -> float:
        """Fraction of the image covered by any mask."""
        if not len(self):
            return 0.0
        return float(coco.area(coco.merge(self._coco()))) / (self.size[0] * self.size[1])

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Box of each mask, (N, 4): x0, y0, x1, y1 in pixels, x1 and y1 just outside; zeros if empty."""
        boxes = np.asarray(coco.toBbox(self._coco()), dtype=np.float32).reshape(len(self), 4)
        boxes[:, 2:] += boxes[:, :2]  # COCO's boxes are x, y, width, height
        return boxes

    @overload
    def decode(self, index: None = None) -> NDArray[np.bool_]: ...
    @overload
    def decode(self, index: int) -> NDArray[np.bool_]: ...
    def decode(self, index: int | None = None) -> NDArray[np.bool_]:
        """Pixels of one mask, (H, W) bool, or of all, (N, H, W) bool."""
        if index is not None:
            return np.ascontiguousarray(coco.decode(self._coco()[index]), dtype=np.bool_)
        pixels = np.empty((len(self), *self.size), dtype=np.bool_)
        for position, rle in enumerate(self._coco()):
            pixels[position] = coco.decode(rle)
        return pixels

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of every pair, (N, N); 0 where both masks are empty."""
        if not len(self):
            return np.zeros((0, 0))
        rles = self._coco()
        return np.asarray(coco.iou(rles, rles, [0] * len(rles)), dtype=np.float64)

    def _coco(self) -> list[dict[str, Any]]:
        return [{"size": list(self.size), "counts": counts} for counts in self.rles]
