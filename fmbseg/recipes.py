"""Recipes: named combinations of three models, with settings that suit them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fmbseg.segment_settings import KnowledgePreservation, MaskNaming, SegmentSettings, WindowSettings
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.catalog import Role


@dataclass(frozen=True)
class Recipe:
    """The three frozen models of a run, as specs ``family:name``.

    Args:
        name: of the recipe.
        image_text: the image-text model, which says what an image shows and roughly where.
        mask_generator: the model that cuts an image into masks.
        backbone: the encoder whose features are aligned with the text space.
        mask_options: options of the mask generator that differ from its defaults.
        labeling: settings of Stage 1 that differ from the defaults of ``LabelingSettings``.
        training: settings of Stage 2 that differ from the defaults of ``TrainingSettings``.
        head: a packaged head for these models (see :mod:`fmbseg.heads`), if there is one.
        hubness: the value that suits its heads (see :class:`~fmbseg.segment_settings.SegmentSettings`).
        segmenting: settings with which its heads segment best, if time does not matter.
    """

    name: str
    image_text: str
    mask_generator: str
    backbone: str
    mask_options: Mapping[str, Any] = field(default_factory=dict)
    labeling: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    head: str | None = None
    hubness: float = 0.0
    segmenting: SegmentSettings = field(default_factory=SegmentSettings)

    @property
    def models(self) -> dict[Role, str]:
        """The specs by role."""
        return {
            "image-text encoder": self.image_text,
            "mask generator": self.mask_generator,
            "backbone": self.backbone,
        }


# MobileSAM is less sure of itself than ViT-H, for which SAM's thresholds were tuned, and on a CPU the count
# of points is the cost.
_MOBILESAM = {
    "points_per_side": 16,
    "sampling": "cover",
    "points_per_batch": 1,
    "predicted_iou_threshold": 0.6,
    "stability_threshold": 0.7,
}

RECIPES = {
    "offline": Recipe(
        "offline",
        image_text="conse",
        mask_generator="mobilesam",
        backbone="efficientnet_lite_classes",  # networks that were trained apart err in different places
        mask_options=_MOBILESAM,
        labeling={
            "min_crops": 1,
            "min_crop_similarity": 0.4,
            "scales": (1.0, 1.5),
            "hubness": 0.8,
            "min_predicted_iou": 0.6,
            "min_area": 0.002,
            "label_remainder": True,
            "keep_features": True,
        },
        # A thousand photographs do not teach a thousand words by one hard choice a patch: what the image-text
        # model sees under each mask has to help. Attention spreads what a photograph of one thing shows over
        # all its patches. Few patches of many photographs meet in a batch.
        training={
            "epochs": 20,
            "batch_size": 10,
            "patches_per_image": 100,
            "optimizer": "adamw",
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "text_weight": 1.0,
            "head_kind": "mlp",
            "mlp_ratio": 0.19,
            "mask_weight": 30.0,
            "mask_class_weight": 10.0,
            "image_size": 448,
        },
        head="offline",
        hubness=0.7,
        # Things look small to a network that was trained on crops of 260 pixels around them. This size and
        # the image-text model take twice as long as the head alone. Masks cut out what patches cannot, and
        # take five times as long again.
        segmenting=SegmentSettings(
            windows=WindowSettings(short_side=640, window=None),
            preserve=KnowledgePreservation(weight=0.5),
            refine=MaskNaming("mobilesam", _MOBILESAM),
        ),
    ),
    # Models and numbers of the paper (section 4.1), so that they stay the paper's whatever the defaults come
    # to be. It does not say whose CLIP, which SAM, nor the thresholds of its filters: here OpenAI's, SAM's
    # largest, and the defaults of SAM's own mask generator, which were tuned for it.
    "paper": Recipe(
        "paper",
        image_text="open_clip:ViT-L-14-quickgelu/openai",
        mask_generator="hf-sam:facebook/sam-vit-huge",
        backbone="dinov2_vitl14",
        mask_options={
            "points_per_side": 32,
            "sampling": "grid",
            "predicted_iou_threshold": 0.88,
            "stability_threshold": 0.95,
            "box_nms_threshold": 0.7,
        },
        labeling={
            "min_crops": 2,
            "min_crop_similarity": -1.0,
            "scales": (1.0,),
            "hubness": 0.0,
            "points_per_class": 5,
            "min_predicted_iou": 0.88,
            "label_remainder": False,
            "keep_fraction": 0.75,
        },
        training={
            "epochs": 10,
            "batch_size": 5,
            "optimizer": "sgd",
            "temperature": 1.0,
            "text_weight": None,
            "head_kind": "block",
            "dense_weight": 0.0,
            "image_size": 448,
        },
    ),
}


def get_recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        UnknownNameError: the name is unknown; near misses are offered.

    Example:
        >>> get_recipe("offline").mask_generator
        'mobilesam'
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]


def mask_options_for(spec: str) -> Mapping[str, Any]:
    """The options that suit a mask generator: those of the recipe that uses it, if any.

    Example:
        >>> mask_options_for("mobilesam")["points_per_side"], dict(mask_options_for("superpixels"))
        (16, {})
    """
    return next((one.mask_options for one in RECIPES.values() if one.mask_generator == spec), {})
