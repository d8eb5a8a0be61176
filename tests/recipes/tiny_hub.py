"""Tiny random models under the real names and in the file layouts of the repositories that recipes name."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import open_clip
import timm
import torch
from safetensors.torch import load_file, save_file

from fmbseg.recipes import RECIPES, Recipe
from fmbseg.recipes.sources import HubSource, sources_of
from tests.models.concepts.tiny import sam3_folder
from tests.models.concepts.tiny_detectors import detector_folder
from tests.models.image_text.tiny import VIT, open_clip_folder, tipsv2_folder
from tests.models.mask_generators.tiny import sam_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.hub.server import Hub

_DINOV2 = {size: f"vit_{size}_patch14_dinov2" for size in ("base", "large")}


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make small the architectures that libraries know by name, and the work that the recipes ask for."""
    for clip in ("ViT-B-16-quickgelu", "ViT-L-14-quickgelu"):
        patch.setitem(open_clip.factory._MODEL_CONFIGS, clip, VIT)
    known = timm.models._registry._model_entrypoints
    for name in _DINOV2.values():
        patch.setitem(known, name, partial(known[name], embed_dim=48, depth=2, num_heads=3))
    for name, recipe in RECIPES.items():
        if name != "offline":
            patch.setitem(RECIPES, name, _small(recipe))


def _small(recipe: Recipe) -> Recipe:
    thresholds = {"predicted_iou_threshold": 0.0, "stability_threshold": 0.0}
    return replace(
        recipe,
        mask_options={**recipe.mask_options, **thresholds, "points_per_side": 2}
        if recipe.mask_options
        else {},
        labeling={**recipe.labeling, "min_predicted_iou": 0.0, "min_crops": 1, "short_side": 64},
        training={**recipe.training, "epochs": 1, "image_size": 56, "batch_size": 2},
    )


def serve(hub: Hub, recipe: str, folder: Path) -> None:
    """Put the repositories of a recipe's models on a Hub of the tests', those of the gated ones without gate.

    Args:
        hub: to put them on.
        recipe: its name.
        folder: to make them in.
    """
    for source in sources_of(RECIPES[recipe]):
        assert isinstance(source, HubSource)
        if ("model", source.repo) not in hub.store.repositories:
            made = _MAKERS[source.repo](folder / source.repo)
            hub.put(source.repo, {file.name: file.read_bytes() for file in made.iterdir() if file.is_file()})


def hollow(hub: Hub, recipe: str) -> None:
    """Put repositories with files of the right names and nothing in them: enough to be chosen."""
    for source in sources_of(RECIPES[recipe]):
        assert isinstance(source, HubSource)
        if ("model", source.repo) not in hub.store.repositories:
            hub.put(source.repo, dict.fromkeys((*source.files, "README.md"), b"{}"))


def _clip(folder: Path) -> Path:
    return open_clip_folder(folder, VIT, quick_gelu=True)


def _dinov2(folder: Path, size: str = "base") -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = timm.create_model(_DINOV2[size], num_classes=0)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"architecture": _DINOV2[size], "num_classes": 0, "pretrained_cfg": {"tag": "lvd142m"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _sam3(folder: Path) -> Path:
    """As facebook/sam3 has it: the detector among parts of the video model, one file for the processor."""
    made = sam3_folder(folder)
    detector = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps({"model_type": "sam3_video", "detector_config": detector}))
    tensors = load_file(made / "model.safetensors")
    whole = {f"detector_model.{name}": tensor for name, tensor in tensors.items()}
    whole |= {"tracker_model.no_memory": torch.zeros(2), "tracker_neck.layer.weight": torch.zeros(2)}
    save_file(whole, made / "model.safetensors", metadata={"format": "pt"})
    pixels = json.loads((made / "preprocessor_config.json").read_text())
    (made / "preprocessor_config.json").unlink()
    (made / "processor_config.json").write_text(json.dumps({"image_processor": pixels}))
    return made


def _grounding_dino(folder: Path) -> Path:
    return detector_folder(folder, "grounding-dino")


_MAKERS: dict[str, Callable[[Path], Path]] = {
    "timm/vit_large_patch14_clip_224.openai": _clip,
    "timm/vit_large_patch14_dinov2.lvd142m": partial(_dinov2, size="large"),
    "facebook/sam-vit-huge": sam_folder,
    "timm/vit_base_patch16_clip_224.openai": _clip,
    "facebook/sam-vit-base": sam_folder,
    "timm/vit_base_patch14_dinov2.lvd142m": _dinov2,
    "facebook/sam-vit-large": sam_folder,
    "facebook/sam3": _sam3,
    "google/tipsv2-l14": tipsv2_folder,
    "IDEA-Research/grounding-dino-tiny": _grounding_dino,
}
