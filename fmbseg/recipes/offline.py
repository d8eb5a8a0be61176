"""The recipe for a machine without a model hub: small trained models from package registries."""

from __future__ import annotations

import json
from pathlib import Path

from fmbseg.certainty import CertaintyCurve
from fmbseg.recipes.recipe import MemoryNeed, Recipe
from fmbseg.segment_settings import (
    Background,
    KnowledgePreservation,
    MaskNaming,
    RegionNaming,
    SecondLook,
    SegmentSettings,
    WindowSettings,
)

# MobileSAM is less sure of itself than ViT-H, for which SAM's thresholds were tuned, and on a CPU the number
# of points is the cost.
_MOBILESAM = {
    "points_per_side": 16,
    "sampling": "cover",
    "points_per_batch": 1,
    "predicted_iou_threshold": 0.6,
    "stability_threshold": 0.7,
}

# How likely a word is right where it names a mask, and how likely it is in the photograph, by its score:
# fitted without labels by `python -m benchmarks.certainty`, which also shows how near the truth they are.
_CURVES = {
    name: CertaintyCurve.from_dict(saved)
    for name, saved in json.loads(Path(__file__).with_name("conse_curves.json").read_text("utf-8")).items()
}

OFFLINE = Recipe(
    "offline",
    "small stand-ins that need no model hub: ConSE, MobileSAM, EfficientNet-Lite",
    image_text="conse",
    mask_generator="mobilesam",
    backbone="efficientnet_lite_classes",  # networks trained separately err in different places
    mask_options=_MOBILESAM,
    labeling={
        "min_crops": 1,
        "min_crop_similarity": 0.4,
        "scales": (1.0, 1.5),
        "hubness": 0.8,
        # What is shown: the most precise for which 95 of 100 draws of photographs keep half of what was right
        # (benchmarks/certainty, fold `train`). A head is trained on all.
        "certainty": 0.3,
        **_CURVES,
        "min_predicted_iou": 0.6,
        "min_area": 0.002,
        "label_remainder": True,
        "keep_features": True,
    },
    # A thousand photographs do not teach a thousand words by one hard choice per patch: what the image-text
    # model sees under each mask has to help. Attention spreads what a photograph of one thing shows over
    # all its patches. A batch mixes few patches each of many photographs.
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
    # the image-text model take twice as long as the head alone, and the masks of regions more than twice
    # as long again. All masks of a photograph would take three times as long as that (benchmarks/regions).
    segmenting=SegmentSettings(
        windows=WindowSettings(short_side=640, window=None),
        preserve=KnowledgePreservation(weight=0.5),
        background=Background("common"),  # one word alone would paint everything
        refine=RegionNaming("mobilesam", _MOBILESAM),
        # A few words compete with common ones: regions of the map are mostly background there, so all masks
        # are asked for, and what is not clear is looked at again (benchmarks/one_word).
        refine_common=MaskNaming("mobilesam", _MOBILESAM, second_look=SecondLook()),
    ),
    memory=MemoryNeed(gpu=1, cpu=3),
    measured="all that README.md and docs/benchmarks.md have figures of, if they name no other models",
    never_measured="more than a thousand photographs to train on, and GPUs",
)
