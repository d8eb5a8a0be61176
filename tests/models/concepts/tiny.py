"""A SAM 3 of random weights, whose scores are spread as those of a trained one."""

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


def sam3_config() -> transformers.Sam3Config:
    return transformers.Sam3Config(
        vision_config={
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
        text_config={
            **_SMALL,
            "vocab_size": 60,
            "intermediate_size": 64,
            "projection_dim": 32,
            "num_hidden_layers": 2,
            "max_position_embeddings": 12,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        geometry_encoder_config=_LAYER,
        detr_encoder_config=_LAYER,
        detr_decoder_config={**_LAYER, "num_queries": 10},
        mask_decoder_config=_SMALL,
    )


def sam3_module() -> Any:
    """The model; its words, scores, presences and masks differ clearly."""
    torch.manual_seed(0)
    module: Any = transformers.Sam3Model(sam3_config())
    module.eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter *= 4
    return module


def sam3_folder(folder: Path) -> Path:
    """A folder of transformers' SAM 3."""
    sam3_module().save_pretrained(folder)
    save_tokenizer(folder)
    folder.joinpath("preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2})
    )
    folder.joinpath("README.md").write_text("---\nlicense: other\nlicense_name: sam-license\n---\n")
    return folder
