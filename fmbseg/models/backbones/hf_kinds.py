"""How the vision models of transformers differ, as data: one entry per ``model_type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.models.backbones.positions import DINO, DINO_REGISTERS, Interpolation
from fmbseg.models.loading.transformers_files import UNNORMALISED
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMAGENET = PixelTransform(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_HALF = PixelTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_CLIP = PixelTransform(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))


class Kind(NamedTuple):
    """How one type of model is built and read.

    Attributes:
        model: its class in transformers.
        shape: ``tokens``, ``naflex`` (tokens of patches that are cut beforehand), ``pyramid`` or ``sam``.
        norm: last part of the final norm's name; empty where there is none.
        class_tokens: number before the patches; the number of register tokens is in the config.
        transform: used where the folder has no ``preprocessor_config.json``.
        positions: how to interpolate position embeddings, where transformers does it differently.
        arguments: keyword arguments of the class.
        tower: part of the config that is the vision model's, where it is one of two.
        prefix: prefix of its weights' names in that case, if transformers does not strip it by itself.
        float16: whether it works in float16; models that divide by small lengths give NaN.
    """

    model: str
    shape: str = "tokens"
    norm: str = "layernorm"
    class_tokens: int = 1
    transform: PixelTransform = _IMAGENET
    positions: Interpolation | None = None
    arguments: Mapping[str, Any] = {}
    tower: str = ""
    prefix: str = ""
    float16: bool = True


_NO_POOLER = {"add_pooling_layer": False}
_SIGLIP = Kind("SiglipVisionModel", norm="post_layernorm", class_tokens=0, transform=_HALF)
_SIGLIP2 = Kind("Siglip2VisionModel", "naflex", norm="post_layernorm", class_tokens=0, transform=_HALF)
_CLIP_VISION = Kind("CLIPVisionModel", norm="post_layernorm", transform=_CLIP)
_METACLIP2 = _CLIP_VISION._replace(model="MetaClip2VisionModel")
_AIMV2 = Kind("Aimv2VisionModel", norm="rms_norm", class_tokens=0, transform=_CLIP)
_TIPSV2 = Kind("Tipsv2VisionModel", transform=UNNORMALISED)
_SAM = Kind("SamVisionModel", "sam", norm="neck", class_tokens=0)
_VISION = "vision_config"

KINDS: dict[str, Kind] = {
    "aimv2": _AIMV2._replace(tower=_VISION, prefix="vision_model"),
    "aimv2_vision_model": _AIMV2,
    "beit": Kind("BeitModel", transform=_HALF, arguments=_NO_POOLER),
    "clip": _CLIP_VISION._replace(tower=_VISION),
    "clip_vision_model": _CLIP_VISION,
    "convnext": Kind("ConvNextModel", "pyramid"),
    "convnextv2": Kind("ConvNextV2Model", "pyramid"),
    "data2vec-vision": Kind("Data2VecVisionModel", transform=_HALF, arguments=_NO_POOLER),
    "deit": Kind("DeiTModel", class_tokens=2, arguments=_NO_POOLER),
    "dinov2": Kind("Dinov2Model", positions=DINO),
    "dinov2_with_registers": Kind("Dinov2WithRegistersModel", positions=DINO_REGISTERS),
    "dinov3_convnext": Kind("DINOv3ConvNextModel", "pyramid"),
    "dinov3_vit": Kind("DINOv3ViTModel", norm="norm"),
    "metaclip_2": _METACLIP2._replace(tower=_VISION),
    "metaclip_2_vision_model": _METACLIP2,
    "radio": Kind("RadioModel", norm="", transform=UNNORMALISED),
    "resnet": Kind("ResNetModel", "pyramid"),
    "sam": _SAM._replace(tower=_VISION),
    "sam_vision_model": _SAM,
    "siglip": _SIGLIP._replace(tower=_VISION),
    "siglip2": _SIGLIP2._replace(tower=_VISION),
    "siglip2_vision_model": _SIGLIP2,
    "siglip_vision_model": _SIGLIP,
    "swin": Kind("SwinModel", "pyramid", arguments=_NO_POOLER),
    "swinv2": Kind("Swinv2Model", "pyramid", arguments=_NO_POOLER, float16=False),
    "tipsv2": _TIPSV2._replace(tower=_VISION),
    "tipsv2_vision_model": _TIPSV2,
    "vit": Kind("ViTModel", transform=_HALF, arguments=_NO_POOLER),
    "vit_mae": Kind("ViTMAEModel"),
}

# Configs of gated repositories, so that their models are known, and can be measured, without the files.
ARCHITECTURES: dict[str, tuple[str, Mapping[str, Any]]] = {
    **{
        f"facebook/dinov3-{name}-pretrain-lvd1689m": (
            "dinov3_vit",
            {
                "hidden_size": width,
                "intermediate_size": 4 * width,
                "num_hidden_layers": depth,
                "num_attention_heads": heads,
                "num_register_tokens": 4,
                "image_size": 224,
                "patch_size": 16,
                "use_gated_mlp": gated,
                "hidden_act": "silu" if gated else "gelu",
            },
        )
        for name, width, depth, heads, gated in (
            ("vits16", 384, 12, 6, False),
            ("vits16plus", 384, 12, 6, True),
            ("vitb16", 768, 12, 12, False),
            ("vitl16", 1024, 24, 16, False),
            ("vith16plus", 1280, 32, 20, True),
        )
    },
    **{
        f"facebook/dinov3-convnext-{name}-pretrain-lvd1689m": (
            "dinov3_convnext",
            {"depths": [3, 3, deep, 3], "hidden_sizes": [width, 2 * width, 4 * width, 8 * width]},
        )
        for name, deep, width in (("tiny", 9, 96), ("small", 27, 96), ("base", 27, 128), ("large", 27, 192))
    },
}
