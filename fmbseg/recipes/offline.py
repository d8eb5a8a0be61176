"""The recipe of a machine without a model hub: real, trained, small models from package registries."""

from __future__ import annotations

from fmbseg.recipes.recipe import Memory, Recipe
from fmbseg.segment_settings import KnowledgePreservation, RegionNaming, SegmentSettings, WindowSettings

# MobileSAM is less sure of itself than ViT-H, for which SAM's thresholds were tuned, and on a CPU the count
# of points is the cost.
_MOBILESAM = {
    "points_per_side": 16,
    "sampling": "cover",
    "points_per_batch": 1,
    "predicted_iou_threshold": 0.6,
    "stability_threshold": 0.7,
}

OFFLINE = Recipe(
    "offline",
    "small stand-ins that need no model hub: ConSE, MobileSAM, EfficientNet-Lite",
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
    # the image-text model take twice as long as the head alone, and the masks of regions twice as long
    # again. All masks of a photograph would take five times as long (benchmarks/regions.py).
    segmenting=SegmentSettings(
        windows=WindowSettings(short_side=640, window=None),
        preserve=KnowledgePreservation(weight=0.5),
        refine=RegionNaming("mobilesam", _MOBILESAM),
    ),
    memory=Memory(gpu=1, cpu=3),
    measured="all that README.md and docs/benchmarks.md have figures of, if they name no other models",
    never_measured="more than a thousand photographs to train on, and GPUs",
)
