"""Recipes whose models come from the Hugging Face Hub; none has been run here with its trained weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fmbseg.recipes.recipe import MemoryNeed, Recipe

# The paper's settings (section 4.1), which stay the paper's whatever the defaults become. Its
# temperature of 1 is left to its own recipe: the default suits unit vectors better.
_PAPER_LABELING: dict[str, Any] = {
    "min_crops": 2,
    "min_crop_similarity": -1.0,
    "scales": (1.0,),
    "hubness": 0.0,
    "points_per_class": 5,
    "min_predicted_iou": 0.88,
    "label_remainder": False,
    "keep_fraction": 0.75,
}
_PAPER_TRAINING: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 5,
    "optimizer": "sgd",
    "text_weight": None,
    "head_kind": "block",
    "dense_weight": 0.0,
    "image_size": 448,
}
# SAM's own settings, which the paper does not state.
_SAM: dict[str, Any] = {
    "points_per_side": 32,
    "sampling": "grid",
    "predicted_iou_threshold": 0.88,
    "stability_threshold": 0.95,
    "box_nms_threshold": 0.7,
}

_CLIP_B = "open_clip:ViT-B-16-quickgelu/openai"
_SAM_B = "hf-sam:facebook/sam-vit-base"
_NOTHING = "nothing with its trained weights; with random weights its code equals the original libraries'"
_QUALITY = (
    "its quality, its settings (the paper's, but for the temperature), and its time and memory on any machine"
)

# The paper does not say whose CLIP, which SAM or which filter thresholds it uses: here OpenAI's, SAM's
# largest, and the defaults of SAM's own mask generator, which were tuned for it.
PAPER = Recipe(
    "paper",
    "the paper's: CLIP ViT-L/14, SAM ViT-H, DINOv2 ViT-L/14",
    image_text="open_clip:ViT-L-14-quickgelu/openai",
    mask_generator="hf-sam:facebook/sam-vit-huge",
    backbone="dinov2_vitl14",
    mask_options=_SAM,
    labeling=_PAPER_LABELING,
    training={**_PAPER_TRAINING, "temperature": 1.0},
    memory=MemoryNeed(gpu=12, cpu=None),
    measured=_NOTHING,
    never_measured="its quality here (the paper's own is in its Table 1), its time and memory",
)

BASE = replace(
    PAPER,
    name="base",
    title="for a laptop: CLIP ViT-B/16, SAM ViT-B, DINOv2 ViT-B/14",
    image_text=_CLIP_B,
    mask_generator=_SAM_B,
    backbone="dinov2_vitb14",
    mask_options={**_SAM, "points_per_side": 16},  # a quarter of the decodes, which cost the most on a CPU
    training=_PAPER_TRAINING,
    memory=MemoryNeed(gpu=4, cpu=6),
    measured=f"{_NOTHING}; the speed of its Stage 1 with random weights (docs/benchmarks.md)",
    never_measured=_QUALITY,
)

TIPSV2 = replace(
    PAPER,
    name="tipsv2",
    title="TIPSv2 L/14 as image-text model and as encoder, SAM ViT-L",
    image_text="hf:google/tipsv2-l14",
    mask_generator="hf-sam:facebook/sam-vit-large",
    backbone="hf:google/tipsv2-l14",
    training=_PAPER_TRAINING,
    memory=MemoryNeed(gpu=8, cpu=None),
    never_measured=_QUALITY,
)

SAM3 = Recipe(
    "sam3",
    "SAM 3 as the teacher; its student: DINOv2 ViT-B/14 with the texts of CLIP ViT-B/16",
    teacher="hf-sam3:facebook/sam3",
    image_text=_CLIP_B,
    backbone="dinov2_vitb14",
    training=_PAPER_TRAINING,
    memory=MemoryNeed(gpu=10, cpu=None),
    measured=_NOTHING,
    never_measured=_QUALITY,
)

GROUNDED = replace(
    SAM3,
    name="grounded",
    title="Grounding DINO tiny and SAM ViT-B as the teacher; its student as of sam3; things more than stuff",
    teacher=f"grounded:IDEA-Research/grounding-dino-tiny+{_SAM_B}",
    memory=MemoryNeed(gpu=6, cpu=None),
)
