"""Text-prompted detectors of random weights, one of each family, whose words and boxes differ clearly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from tests.models.image_text.tiny import WORDS

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = ("grounding-dino", "mm-grounding-dino", "owlvit", "owlv2", "omdet-turbo")
PROCESSORS = {
    "grounding-dino": ("GroundingDinoProcessor", "GroundingDinoImageProcessor"),
    "mm-grounding-dino": ("GroundingDinoProcessor", "GroundingDinoImageProcessor"),
    "owlvit": ("OwlViTProcessor", "OwlViTImageProcessor"),
    "owlv2": ("Owlv2Processor", "Owlv2ImageProcessor"),
    "omdet-turbo": ("OmDetTurboProcessor", "DetrImageProcessor"),
}
SIDE = 64
_SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def detector_folder(folder: Path, family: str) -> Path:
    """A folder of a detector, as transformers saves it."""
    torch.manual_seed(0)
    make = {
        "grounding-dino": _grounding_dino,
        "mm-grounding-dino": _mm_grounding_dino,
        "owlvit": _owlvit,
        "owlv2": _owlv2,
        "omdet-turbo": _omdet_turbo,
    }
    module = make[family]()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape) * 1.2 * parameter[0].numel() ** -0.5)
            elif "bias" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape))
            if parameter.shape[:1] == (4,):  # the last layer of boxes: neither specks nor everything
                parameter *= 0.3
                if parameter.ndim == 1:
                    parameter[2:] += 1.0
    module.save_pretrained(folder)
    grounding, square = "grounding" in family, {"height": SIDE, "width": SIDE}
    tokenizer(grounding=grounding).save_pretrained(folder)
    content = {
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.25, 0.3],
        "resample": 2,
        "size": {"shortest_edge": 80, "longest_edge": 120} if grounding else square,
    }
    folder.joinpath("preprocessor_config.json").write_text(json.dumps(content))
    folder.joinpath("README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def tokenizer(*, grounding: bool) -> transformers.PreTrainedTokenizerFast:
    """Of whole words; BERT's special ids for Grounding DINO, and else the end of a text as the highest."""
    ids = {"[PAD]": 0, "[UNK]": 1} | {word: 3 + index for index, word in enumerate([*WORDS, "Detect"])}
    first, last = ("[CLS]", "[SEP]")
    ids |= {first: 101, last: 102, ".": 1012, "?": 1029} if grounding else {first: 2, last: 59, ".": 40}
    words = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, ids[first]), (last, ids[last])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": first, "sep_token": last}
    return transformers.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, model_max_length=16, **special
    )


def _swin() -> Any:
    config_class: Any = transformers.SwinConfig
    return config_class(
        image_size=SIDE,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_indices=[2, 3, 4],
    )


def _dino_config() -> dict[str, Any]:
    return {
        "backbone_config": _swin(),
        "text_config": transformers.BertConfig(**_SMALL, vocab_size=1040, max_position_embeddings=32),
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "num_queries": 20,
        "max_text_len": 16,
    }


def _grounding_dino() -> Any:
    return transformers.GroundingDinoForObjectDetection(transformers.GroundingDinoConfig(**_dino_config()))


def _mm_grounding_dino() -> Any:
    config = transformers.MMGroundingDinoConfig(**_dino_config())
    return transformers.MMGroundingDinoForObjectDetection(config)


def _towers() -> dict[str, Any]:
    text = {**_SMALL, "vocab_size": 60, "max_position_embeddings": 16}
    text |= {"bos_token_id": 2, "eos_token_id": 59, "pad_token_id": 0}
    vision = {**_SMALL, "image_size": SIDE, "patch_size": 16}
    return {"text_config": text, "vision_config": vision, "projection_dim": 32}


def _owlvit() -> Any:
    return transformers.OwlViTForObjectDetection(transformers.OwlViTConfig(**_towers()))


def _owlv2() -> Any:
    return transformers.Owlv2ForObjectDetection(transformers.Owlv2Config(**_towers()))


def _omdet_turbo() -> Any:
    text = transformers.CLIPTextConfig(
        **_SMALL, vocab_size=60, max_position_embeddings=77, bos_token_id=2, eos_token_id=59, pad_token_id=0
    )
    config = transformers.OmDetTurboConfig(
        backbone_config=_swin(),
        text_config=text,
        image_size=SIDE,
        num_queries=20,
        apply_layernorm_after_vision_backbone=False,  # its swin gives channels last, as timm's does
        text_projection_in_dim=32,
        text_projection_out_dim=32,
        class_embed_dim=32,
        task_encoder_hidden_dim=32,
        encoder_hidden_dim=16,
        decoder_hidden_dim=16,  # another than the text's, as in its checkpoints
        vision_features_channels=[16, 16, 16],
        encoder_in_channels=[16, 32, 64],
        encoder_attention_heads=2,
        decoder_num_heads=2,
        encoder_dim_feedforward=32,
        decoder_dim_feedforward=32,
        decoder_num_layers=2,
    )
    return transformers.OmDetTurboForObjectDetection(config)
