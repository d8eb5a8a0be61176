"""Which masks of a record are kept: by score, stage, class, area, or a new draw."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.labels.record import EVERYTHING_STAGE, STAGES

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from fmbseg.labels.record import LabeledImage

_RANGES = {
    "min_predicted_iou": (0, 1),
    "min_stability": (0, 1),
    "min_similarity": (-1, 1),
    "min_area": (0, 1),
    "max_area": (0, 1),
}


@dataclass(frozen=True)
class MaskFilter:
    """The conditions for keeping a mask; see :meth:`fmbseg.labels.collection.LabelCollection.filter`.

    Raises:
        ValueError: a score outside its range, or an unknown stage.
    """

    stages: tuple[int, ...] | None = None
    class_ids: tuple[int, ...] | None = None
    min_predicted_iou: float = 0.0
    min_stability: float = 0.0
    min_similarity: float = -1.0
    min_area: float = 0.0
    max_area: float = 1.0
    kept_only: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from {least} to {most}")
        known = ", ".join(f"{stage} ({name})" for stage, name in STAGES.items())
        if self.stages is not None and (not self.stages or not set(self.stages) <= set(STAGES)):
            raise ValueError(f"stages is {list(self.stages)}: it must be one or more of {known}")

    def __call__(self, image: LabeledImage) -> NDArray[np.bool_]:
        """Which masks of a record are kept, (N,)."""
        masks = image.masks
        stay = (
            (masks.predicted_iou >= np.float32(self.min_predicted_iou))
            & (masks.stability >= np.float32(self.min_stability))
            & (image.similarities >= np.float32(self.min_similarity))
        )
        if self.min_area > 0 or self.max_area < 1:
            areas = masks.areas / (masks.size[0] * masks.size[1])
            stay &= (areas >= self.min_area) & (areas <= self.max_area)
        for values, wanted in ((image.stages, self.stages), (image.class_ids, self.class_ids)):
            if wanted is not None:
                stay &= np.isin(values, wanted)
        return np.asarray(stay & image.kept if self.kept_only else stay)

    def to_dict(self) -> dict[str, Any]:
        """The settings that differ from a filter that keeps everything, as plain values."""
        plain = asdict(MaskFilter())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}


def keep_classes(image: LabeledImage, class_ids: Collection[int] | None) -> LabeledImage:
    """Count only these classes as detected; all where ``None``."""
    if class_ids is None:
        return image
    stays = np.isin(image.detected, list(class_ids))
    detected = tuple(index for index in image.detected if index in class_ids)
    return replace(image, detected=detected, presences=image.presences[stays])


def redraw(image: LabeledImage, fraction: float, seed: int) -> LabeledImage:
    """Draw the share ``fraction`` of a record's Stage 1.2 masks anew; the other masks stay as they are."""
    kept = image.kept.copy()
    drawn = image.stages == EVERYTHING_STAGE
    kept[drawn] = draw_lots(int(drawn.sum()), image.path, fraction=fraction, seed=seed)
    return replace(image, kept=kept)


def draw_lots(count: int, key: str, *, fraction: float = 0.75, seed: int = 0) -> NDArray[np.bool_]:
    """Draw a share of a photograph's masks, rounded, by a seed and a key (paper §4.1: 75 % of Stage 1.2's).

    Args:
        count: of masks.
        key: what this photograph's draw depends on: its path, so that other photographs have no influence.
        fraction: part that is drawn, 0 to 1.
        seed: of the draw.

    Returns:
        (count,), true for those that were drawn.

    Example:
        >>> int(draw_lots(8, "dog.jpg").sum())
        6
    """
    number = int.from_bytes(sha256(f"{seed}\n{key}".encode()).digest()[:8], "big")
    kept = np.zeros(count, dtype=np.bool_)
    kept[np.random.default_rng(number).permutation(count)[: round(fraction * count)]] = True
    return kept
