"""Small models with random weights of every family, written to files as their own libraries write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn

from fmbseg.models.backbones.from_sam import SamSize

if TYPE_CHECKING:
    from pathlib import Path

_TOKENS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_SIZED = {**_TOKENS, "image_size": 64, "patch_size": 16}
_DINO = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 70,
    "patch_size": 14,
}
_SWIN = {
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 2],
    "image_size": 64,
    "window_size": 2,
}
_STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
_SAM = {
    **_DINO,
    "image_size": 64,
    "patch_size": 16,
    "output_channels": 24,
    "global_attn_indexes": [1],
    "window_size": 2,
}
_TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 20,
    "max_position_embeddings": 8,
}

# model_type: the class that is saved, and its config
HF_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "aimv2_vision_model": ("Aimv2VisionModel", {**_SIZED, "is_native": True}),
    "beit": ("BeitModel", {**_SIZED, "use_relative_position_bias": True}),
    "clip": ("CLIPModel", {"vision_config": _SIZED, "text_config": _TEXT, "projection_dim": 16}),
    "convnext": ("ConvNextModel", _STAGES),
    "data2vec-vision": ("Data2VecVisionModel", {**_SIZED, "use_relative_position_bias": True}),
    "deit": ("DeiTModel", _SIZED),
    "dinov2": ("Dinov2Model", _DINO),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", {**_DINO, "num_register_tokens": 4}),
    "dinov3_convnext": ("DINOv3ConvNextModel", _STAGES),
    "dinov3_vit": ("DINOv3ViTModel", {**_SIZED, "num_register_tokens": 4}),
    "metaclip_2": ("MetaClip2Model", {"vision_config": _SIZED, "text_config": _TEXT, "projection_dim": 16}),
    "radio": (
        "RadioModel",
        {**_SIZED, "mlp_ratio": 2.0, "max_img_size": 128, "num_cls_tokens": 2, "num_registers": 3},
    ),
    "resnet": ("ResNetModel", {**_STAGES, "embedding_size": 8, "layer_type": "basic"}),
    "sam": ("SamModel", {"vision_config": _SAM}),
    "siglip": ("SiglipModel", {"vision_config": _SIZED, "text_config": _TEXT}),
    "siglip2": ("Siglip2Model", {"vision_config": {**_TOKENS, "num_patches": 16}, "text_config": _TEXT}),
    "swin": ("SwinModel", _SWIN),
    "swinv2": ("Swinv2Model", _SWIN),
    "tipsv2": (
        "Tipsv2Model",
        {"vision_config": {**_DINO, "mlp_ratio": 2}, "text_config": {**_TEXT, "hidden_size": 32}},
    ),
    "vit": ("ViTModel", _SIZED),
    "vit_mae": ("ViTMAEModel", _SIZED),
}

ONE_SIZE = {
    "aimv2": ("Aimv2Model", {"vision_config": _SIZED, "text_config": _TEXT, "projection_dim": 16}),
}

TINY_SAM = SamSize(32, 2, 2, (1,), "tiny.pth", "hf:nobody/tiny-sam", image=64)


def hf_folder(folder: Path, model_type: str) -> Path:
    """A folder as ``save_pretrained`` of transformers writes it."""
    import transformers

    name, values = {**HF_MODELS, **ONE_SIZE}[model_type]
    config = transformers.AutoConfig.for_model(model_type, **values)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = getattr(transformers, name)(config)
        spread(model)
    model.save_pretrained(folder)
    stated = {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.2, 0.3, 0.25], "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return folder


def timm_folder(folder: Path, architecture: str, num_classes: int = 0, **arguments: Any) -> Path:
    """A folder as a repository of timm holds it."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = timm.create_model(architecture, num_classes=num_classes, **arguments)
        spread(model)
    folder.mkdir(parents=True, exist_ok=True)
    size = arguments.get("img_size", 64)
    config = {
        "architecture": architecture,
        "num_classes": num_classes,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "license": "mit",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


def dinov2_folder(folder: Path, *, registers: bool = False) -> Path:
    """DINOv2 as timm has it, two blocks of 48 channels, 70 px."""
    architecture = f"vit_small_patch14_{'reg4_' if registers else ''}dinov2"
    return timm_folder(folder, architecture, embed_dim=48, depth=2, num_heads=3, img_size=70)


def one_size_folder(folder: Path) -> Path:
    """A transformer of timm with a table of relative positions, for 64 px only."""
    architecture = "vit_relpos_small_patch16_224"
    return timm_folder(folder, architecture, embed_dim=32, depth=2, num_heads=2, img_size=64)


def open_clip_folder(folder: Path, vision: dict[str, Any]) -> Path:
    """A folder as a repository of open_clip holds it: both towers."""
    from open_clip import CLIP

    text = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.6], "std": [0.2, 0.3, 0.25]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


CLIP_TRANSFORMER = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64}
CLIP_RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "patch_size": None}
CLIP_TIMM = {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160}


def sam_checkpoint(path: Path) -> Path:
    """A checkpoint as Meta writes it: the encoder beside the other parts."""
    from fmbseg.models.backbones.from_sam import _encoder

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        encoder = _encoder(TINY_SAM)
        spread(encoder)
    state = {f"image_encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    torch.save({**state, "mask_decoder.iou_token.weight": torch.zeros(1, 256)}, path)
    return path


class Patches(nn.Module):
    """A projection of patches of 8 x 8 pixels to 24 channels, as maps or as tokens after a class token."""

    def __init__(self, *, tokens: bool = False) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, 24, kernel_size=8, stride=8)
        self.tokens = tokens
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(1)
            nn.init.normal_(self.project.weight, std=0.1)
            nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.project(pixels)
        if not self.tokens:
            return maps
        patches = maps.flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(patches[:, :1], 1000.0), patches], dim=1)


def script_file(path: Path) -> Path:
    """A TorchScript file that gives tokens."""
    torch.jit.script(Patches(tokens=True).eval()).save(str(path))  # type: ignore[no-untyped-call]
    return path


def exported_file(path: Path, *, fixed: bool = False) -> Path:
    """A saved ExportedProgram that gives maps, for any or for one size and batch."""
    any_of = torch.export.Dim.DYNAMIC
    dynamic = None if fixed else ({0: any_of, 2: any_of, 3: any_of},)
    program = torch.export.export(Patches().eval(), (torch.zeros(2, 3, 64, 64),), dynamic_shapes=dynamic)
    torch.export.save(program, path)
    return path


def onnx_file(path: Path, *, side: int | str = "side", batch: int | str = "batch") -> Path:
    """An ONNX file of the same projection, written node by node."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    weight = Patches().project.weight.detach().numpy()
    height, width = (side, side) if isinstance(side, int) else ("height", "width")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, height, width])
    grid = helper.make_tensor_value_info("grid", TensorProto.FLOAT, [batch, 24, "rows", "columns"])
    node = helper.make_node("Conv", ["pixels", "weight"], ["grid"], kernel_shape=[8, 8], strides=[8, 8])
    graph = helper.make_graph(
        [node], "patches", [pixels], [grid], [numpy_helper.from_array(weight, "weight")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, path)
    return path


@torch.no_grad()
def spread(model: nn.Module) -> None:
    """Give every parameter values that matter: some start at 0 or so small that a mistake would not show."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 and ("norm" not in name or "bias" in name):
            nn.init.normal_(parameter, mean=0.0, std=0.3)
        elif "pos_embed" in name or "position_embedding" in name or "token" in name or "rel_pos" in name:
            nn.init.normal_(parameter, std=0.5)
