"""What "segment everything" means: which points are tried and which masks are kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from fmbseg.unknown_name import check_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Sampling = Literal["grid", "adaptive", "cover"]

_LEAST = {
    "points_per_side": 1,
    "points_per_batch": 1,
    "crop_n_layers": 0,
    "crop_n_points_downscale_factor": 1,
}
_FRACTIONS = (
    "predicted_iou_threshold",
    "stability_threshold",
    "box_nms_threshold",
    "max_share",
    "cover_predicted_iou",
    "cover_stability",
    "min_area",
    "max_area",
    "crop_overlap_ratio",
    "crop_nms_threshold",
)


@dataclass(frozen=True)
class EverythingSettings:
    """Settings of "segment everything"; the defaults are those of SAM's automatic mask generator.

    The thresholds of the defaults were tuned for SAM ViT-H; smaller models are less sure of themselves.

    Args:
        points_per_side: points along each side of the image; their total is its square.
        sampling: ``"grid"`` tries every point, as SAM does. The others try fewer of the same points, since on
            a CPU their number is the cost: ``"adaptive"`` those that are least likely to repeat what is
            known; ``"cover"``, from coarse to fine, those that no accepted mask covers,
            which may cost less and misses more.
        max_share: with ``"adaptive"``, the part of the grid's points, 0 to 1, that is tried (at least one).
        cover_predicted_iou: with ``"cover"``, a mask covers points only if its estimate is above this.
        cover_stability: with ``"cover"``, a mask covers points only if its stability is at least this. A
            large mask that the model is not sure of would hide the small things on it.
        points_per_batch: points decoded at once. Except with ``"grid"``, points in a batch do not see one
            another's masks.
        predicted_iou_threshold: a mask is kept if the model's own estimate of its IoU is above this.
        stability_threshold: a mask is kept if its stability is at least this.
        stability_offset: stability is the IoU of the mask at logits above +offset with that above -offset.
        box_nms_threshold: of two masks whose boxes' IoU is above this, the one with the lower estimate goes.
        min_area: masks of a smaller fraction of the image are left out.
        max_area: masks of a larger fraction of the image are left out.
        crop_n_layers: layers of crops looked at besides the whole image; layer i has 2^i by 2^i crops.
        crop_overlap_ratio: part of the image's short side by which crops of the first layer overlap.
        crop_nms_threshold: ``box_nms_threshold`` for masks of different crops; the smaller crop's stays.
        crop_n_points_downscale_factor: ``points_per_side`` is divided by it once for each layer.

    Raises:
        ValueError: a value is outside its range.

    Example:
        >>> EverythingSettings(points_per_side=16).predicted_iou_threshold
        0.88
    """

    points_per_side: int = 32
    sampling: Sampling = "grid"
    points_per_batch: int = 64
    predicted_iou_threshold: float = 0.88
    stability_threshold: float = 0.95
    stability_offset: float = 1.0
    box_nms_threshold: float = 0.7
    max_share: float = 1 / 3
    cover_predicted_iou: float = 0.88
    cover_stability: float = 0.95
    min_area: float = 0.0
    max_area: float = 1.0
    crop_n_layers: int = 0
    crop_overlap_ratio: float = 512 / 1500
    crop_nms_threshold: float = 0.7
    crop_n_points_downscale_factor: int = 1

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}: it must be a whole number, {least} or more")
        if self.sampling not in get_args(Sampling):
            raise ValueError(
                f"sampling is {self.sampling!r}: it must be one of {', '.join(get_args(Sampling))}"
            )
        for name in _FRACTIONS:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value!r}: it must be from 0 to 1")
        if self.min_area >= self.max_area:
            raise ValueError(f"min_area is {self.min_area!r}: it must be below max_area, {self.max_area!r}")
        if not 0 <= self.stability_offset < float("inf"):
            raise ValueError(f"stability_offset is {self.stability_offset!r}: it must be 0 or more")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> EverythingSettings:
        """Make settings from the options that a mask generator's factory was given.

        Raises:
            UnknownNameError: an option is not among the settings.
            ValueError: a value is outside its range.
        """
        check_names("setting of a mask generator", options, [field.name for field in fields(cls)])
        return cls(**options)

    def changed(self) -> dict[str, Any]:
        """The settings that differ from the defaults, by name.

        Example:
            >>> EverythingSettings(points_per_side=16, sampling="cover").changed()
            {'points_per_side': 16, 'sampling': 'cover'}
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: given[field.name] for field in fields(self) if given[field.name] != field.default}
