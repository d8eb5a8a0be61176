"""The choices of Stage 1; what the paper states is the default, and the manifest records them all."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from fmbseg.certainty import CertaintyCurve, check_certainty
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmbseg.recipes import Recipe


@dataclass(frozen=True)
class LabelingSettings:
    """Settings of Stage 1.

    Args:
        short_side: pixels to which a photograph's short side is over-sampled before it is cut into crops.
            The paper states none.
        scales: factors of that size at which the photograph is cut into crops again, ascending. Crops of all
            scales vote, and their dense maps are averaged. The paper has one.
        crop_overlap: part of a crop that the next one shows again; rounded to cells of the dense map.
        min_crops: a class is present if at least this many crops chose it. The paper's "more than 1" is 2.
            A photograph of fewer crops than that needs them all.
        min_crop_similarity: a crop less similar to its class has no vote, -1 to 1; not in the paper.
        hubness: weight of what is taken off the similarity of classes that resemble everything (see
            :func:`~fmbseg.models.hubness.hubness_of`), 0 for nothing as in the paper.
        certainty: classes and masks that are less certain than this, 0 to 1, are labelled like all others,
            but not shown or exported unless they are asked for; 0 shows all, as in the paper.
        mask_curve: how likely a mask's class is right, by its score (similarity less hubness).
        presence_curve: how likely a class is present, by its highest score in any crop.
        points_per_class: cells of a class's highest similarity that prompt one mask (paper §3.2: 5).
        min_predicted_iou: masks of a lower estimate are left out, in Stage 1.1 and 1.2.
        min_area: masks of a smaller fraction of the photograph are left out.
        max_area: masks of a larger fraction of the photograph are left out.
        label_remainder: name what no mask covers by the dense map, as masks of Stage 1.2; not in the paper.
            Masks that are not precise then leave no pixel without a label.
        keep_fraction: part of the masks of Stage 1.2 drawn for training (paper §4.1: 0.75).
        keep_features: keep the mean dense feature under each mask with the labels (2 bytes a dimension), for
            the term of training that draws patches to it (``mask_weight``).
        seed: of that draw; each photograph's draw depends on it and on the photograph's path alone.
        batch_size: crops encoded at once.

    Raises:
        ValueError: a value outside its range.
    """

    short_side: int = 448
    scales: Sequence[float] = (1.0,)
    crop_overlap: float = 0.5
    min_crops: int = 2
    min_crop_similarity: float = -1.0
    hubness: float = 0.0
    certainty: float = 0.0
    mask_curve: CertaintyCurve | None = None
    presence_curve: CertaintyCurve | None = None
    points_per_class: int = 5
    min_predicted_iou: float = 0.88
    min_area: float = 0.001
    max_area: float = 0.95
    label_remainder: bool = False
    keep_fraction: float = 0.75
    keep_features: bool = False
    seed: int = 0
    batch_size: int = 16

    def __post_init__(self) -> None:
        for name in ("short_side", "min_crops", "points_per_class", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 1 or more")
        for name in ("min_predicted_iou", "min_area", "max_area", "keep_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")
        if not -1 <= self.min_crop_similarity <= 1:
            raise ValueError(f"min_crop_similarity is {self.min_crop_similarity}: it must be from -1 to 1")
        scales = list(self.scales)
        if not scales or min(scales) <= 0 or scales != sorted(set(scales)):
            raise ValueError(f"scales is {scales}: it must be one or more positive numbers, ascending")
        object.__setattr__(self, "scales", tuple(scales))
        if self.hubness < 0:
            raise ValueError(f"hubness is {self.hubness}: it must be 0 or more")
        self._check_curve()
        if not 0 <= self.crop_overlap < 1:
            raise ValueError(f"crop_overlap is {self.crop_overlap}: it must be from 0 to 1, 1 excluded")
        if self.min_area >= self.max_area:
            raise ValueError(f"min_area is {self.min_area}: it must be below max_area, {self.max_area}")

    def _check_curve(self) -> None:
        if check_certainty("certainty", self.certainty) and self.mask_curve is None:
            raise ValueError(f"certainty is {self.certainty}: it needs the curve that tells it, mask_curve")

    @property
    def least_score(self) -> float:
        """The least score of a mask that is certain enough to be shown."""
        if self.mask_curve is None or not self.certainty:
            return -math.inf
        return self.mask_curve.least_score(self.certainty)

    @classmethod
    def of_recipe(
        cls, recipe: Recipe | None, image_text: str | None = None, *, aligned: bool = False
    ) -> LabelingSettings:
        """Settings of a recipe; the defaults where there is none.

        A recipe's curves tell how certain its own image-text model is: of another one it is not known.

        Args:
            recipe: whose settings are wanted.
            image_text: spec of the image-text model; the recipe's own if not given.
            aligned: whether a head makes the dense map instead.

        Example:
            >>> from fmbseg.recipes import get_recipe
            >>> LabelingSettings.of_recipe(get_recipe("offline"), "open_clip:ViT-B-16/openai").certainty
            0.0
        """
        settings = cls() if recipe is None else cls.from_dict(recipe.labeling)
        if recipe is not None and (aligned or image_text not in (None, recipe.image_text)):
            return replace(settings, certainty=0.0, mask_curve=None, presence_curve=None)
        return settings

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> LabelingSettings:
        """Settings by their names; what is left out takes its default.

        Raises:
            UnknownNameError: a name that no setting has; near misses are offered.
            ValueError: a value outside its range.
        """
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                raise UnknownNameError("setting of Stage 1", name, names)
        return cls(**given)
