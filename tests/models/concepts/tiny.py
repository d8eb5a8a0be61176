"""Concept models of random weights, whose scores are spread as those of trained ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
import transformers

from tests.models.image_text.tiny import save_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 112
_SMALL = {"hidden_size": 32, "num_attention_heads": 2}
_LAYER = {**_SMALL, "num_layers": 1, "intermediate_size": 64}
_TEXT: dict[str, Any] = {**_SMALL, "vocab_size": 60, "intermediate_size": 64, "max_position_embeddings": 12}
_SAM3: dict[str, Any] = {
    "vision_config": {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            **_SMALL,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "image_size": SIDE,
            "patch_size": 14,
            "pretrain_image_size": SIDE,
            "window_size": 4,
            "global_attn_indexes": [1],
        },
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    },
    "geometry_encoder_config": _LAYER,
    "detr_encoder_config": _LAYER,
    "detr_decoder_config": {**_LAYER, "num_queries": 10},
    "mask_decoder_config": _SMALL,
}


def sam3_config() -> transformers.Sam3Config:
    text = {**_TEXT, "projection_dim": 32, "num_hidden_layers": 2, "bos_token_id": 0, "eos_token_id": 1}
    return transformers.Sam3Config(text_config=text, **_SAM3)


def sam3_module() -> Any:
    """The model; its words, scores, presences and masks differ clearly."""
    torch.manual_seed(0)
    return _spread(transformers.Sam3Model(sam3_config()))


def sam3_lite_text_module() -> Any:
    """The one with the smaller text tower, of convolutions and attention."""
    torch.manual_seed(0)
    text = {**_TEXT, "projection_dim": 32, "num_hidden_layers": 3, "layer_scale_init_value": 0.5}
    config = transformers.Sam3LiteTextConfig(text_config=text, **_SAM3)
    return _spread(transformers.Sam3LiteTextModel(config))


def clipseg_module() -> Any:
    """CLIPSeg: a vision tower of 64 pixels with a decoder on three of its layers."""
    torch.manual_seed(0)
    layers = {"intermediate_size": 64, "num_hidden_layers": 3}
    config = transformers.CLIPSegConfig(
        text_config={**_TEXT, **layers, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0},
        vision_config={**_SMALL, **layers, "image_size": 32, "patch_size": 16},
        projection_dim=24,
        extract_layers=[0, 1, 2],
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        use_complex_transposed_convolution=True,
    )
    module: Any = transformers.CLIPSegForImageSegmentation(config)
    module.eval()
    with torch.no_grad():
        module.decoder.transposed_convolution[-1].weight /= 200  # no pixel is sure
    return module


def _spread(module: Any) -> Any:
    module.eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter *= 4
    return module


def concept_folder(folder: Path, module: Any, licence: str, **preprocessing: Any) -> Path:
    """Write a folder of transformers."""
    module.save_pretrained(folder)
    save_tokenizer(folder)
    stated = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, **preprocessing}
    folder.joinpath("preprocessor_config.json").write_text(json.dumps(stated))
    folder.joinpath("README.md").write_text(f"---\n{licence}\n---\n")
    return folder


def sam3_folder(folder: Path) -> Path:
    """A folder of transformers' SAM 3."""
    return concept_folder(folder, sam3_module(), "license: other\nlicense_name: sam-license")


def sam3_lite_text_folder(folder: Path) -> Path:
    """A folder of transformers' SAM3-LiteText."""
    return concept_folder(folder, sam3_lite_text_module(), "license: other\nlicense_name: sam-license")


def clipseg_folder(folder: Path) -> Path:
    """A folder of transformers' CLIPSeg, which takes photographs of 64 pixels."""
    size = {"height": 64, "width": 64}
    return concept_folder(folder, clipseg_module(), "license: apache-2.0", size=size)
