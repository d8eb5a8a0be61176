"""Small image-text models of random weights, in folders as their libraries would save them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
WORDS = [
    "a",
    "photo",
    "of",
    "cat",
    "very",
    "long",
    "red",
    "double",
    "decker",
    "bus",
    "on",
    "bridge",
    "cup",
    "coffee",
    "rocket",
    "sofa",
]
EOS, PAD = 1, 0

VIT: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
RESNET: dict[str, Any] = {
    **VIT,
    "vision_cfg": {
        "image_size": 128,
        "layers": [1, 1, 1, 1],
        "width": 8,
        "head_width": 16,
        "patch_size": None,
    },
}
SIGLIP: dict[str, Any] = {
    "embed_dim": 32,
    "custom_text": True,
    "init_logit_bias": -10,
    "vision_cfg": {
        "image_size": 32,
        "timm_model_name": "fmbseg_tiny_siglip",
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 12,
        "vocab_size": 40,
        "hf_tokenizer_name": "someone/tiny",
        "width": 32,
        "heads": 2,
        "layers": 1,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}


@timm.models.register_model
def fmbseg_tiny_siglip(pretrained: bool = False, **options: Any) -> VisionTransformer:
    assert not pretrained
    wanted = {key: value for key, value in options.items() if key in ("num_classes", "global_pool")}
    return VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=32,
        depth=2,
        num_heads=2,
        class_token=False,
        act_layer="gelu_tanh",
        **wanted,
    )


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Fill every tensor so that nothing is zero, one, or the same at two places."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            near_one = name.endswith(("running_var",)) or ("ln" in name or "norm" in name or "bn" in name)
            spread = 0.3 if tensor.ndim < 2 else tensor.shape[-1] ** -0.5
            tensor.copy_(noise * spread + (1.0 if near_one and "weight" in name else 0.0))
            if name.endswith("running_var"):
                tensor.copy_(1.0 + noise.abs())


def open_clip_folder(folder: Path, config: Mapping[str, Any], *, quick_gelu: bool = False) -> Path:
    """Write a folder that open_clip itself could load."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "model_cfg": {**config, "quick_gelu": quick_gelu},
        "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    save_tokenizer(folder)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():
        randomise(model)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of whole words, which ends each text with a token of its own."""
    vocabulary = {"<pad>": PAD, "<eos>": EOS, "<unk>": 2}
    vocabulary |= {word: index + 3 for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", EOS)])
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)


def transformers_folder(folder: Path, kind: str) -> Path:
    """Write a folder of a model of transformers, ``kind`` being its type; ``siglip2`` is NaFlex."""
    import transformers

    layers = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
    vision: dict[str, Any] = {**layers, "patch_size": 8}
    text: dict[str, Any] = {
        **layers,
        "vocab_size": 40,
        "max_position_embeddings": 12,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "bos_token_id": 2,
    }
    sides: dict[str, dict[str, Any]] = {"vision_config": {**vision, "image_size": 32}, "text_config": text}
    if kind == "siglip":
        sides["vision_config"]["image_size"] = 36
    elif kind == "siglip2":
        sides["vision_config"] = {**vision, "num_patches": 16}
    elif kind == "tipsv2":
        sides["vision_config"] = {**vision, "image_size": 32, "mlp_ratio": 1.5}
        del sides["vision_config"]["intermediate_size"]
    if kind.startswith("siglip"):
        text["projection_size"] = 32
    projected = {} if kind.startswith(("siglip", "tipsv2")) else {"projection_dim": 24}
    config = transformers.AutoConfig.for_model(kind, **sides, **projected)
    model: Any = transformers.AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        randomise(model)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    content = {"image_mean": MEAN, "image_std": STD, "resample": 3, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


def tipsv2_folder(folder: Path) -> Path:
    """Write TIPSv2's repository as its authors publish it: their config, names of weights and tokenizer.

    Twelve blocks and twelve heads belong to the name of its size; all else is small.
    """
    import transformers

    flat = {
        "model_type": "tipsv2",
        "architectures": ["TIPSv2Model"],
        "auto_map": {
            "AutoConfig": "configuration_tips.TIPSv2Config",
            "AutoModel": "modeling_tips.TIPSv2Model",
        },
        "patch_size": 14,
        "img_size": 42,
        "init_values": 1.0,
        "num_register_tokens": 1,
        "vocab_size": 60,
        "max_len": 10,
        "vision_fn": "vit_base",
        "embed_dim": 48,
        "ffn_layer": "mlp",
        "temperature": 0.005,
        "text_hidden_size": 48,
        "text_mlp_dim": 72,
        "text_num_heads": 4,
        "text_num_layers": 2,
    }
    vision = {"hidden_size": 48, "mlp_ratio": 1.5, "image_size": 42}
    text = {"hidden_size": 48, "intermediate_size": 72, "num_attention_heads": 4, "num_hidden_layers": 2}
    model = transformers.Tipsv2Model(
        transformers.Tipsv2Config(vision_config=vision, text_config={**text, "vocab_size": 60})
    )
    with torch.no_grad():
        randomise(model)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(flat))
    state = {
        name.replace("c_fc", "fc1").replace("c_proj", "fc2")
        if name.startswith("vision_encoder")
        else name: one
        for name, one in load_file(folder / "model.safetensors").items()
        if name != "temperature"
    }
    save_file(state, folder / "model.safetensors")
    sentence_pieces(folder / "tokenizer.model", vocab_size=60)
    return folder


def sentence_pieces(path: Path, vocab_size: int) -> None:
    """Train a small sentencepiece model of TIPSv2's kind, in which padding is 0."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 3),
        model_prefix=str(path.with_suffix("")),
        vocab_size=vocab_size,
        model_type="bpe",
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    path.with_suffix(".vocab").unlink()
