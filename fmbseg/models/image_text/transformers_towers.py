"""Vision towers of transformers' CLIP, SigLIP and SigLIP 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from fmbseg.models.image_text.blocks import TransformersBlock
from fmbseg.models.image_text.position_tables import resized_positions
from fmbseg.models.image_text.towers import Tap, TransformerTower

if TYPE_CHECKING:
    from collections.abc import Callable

FAMILIES = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
"""Model types of ``config.json``, and their classes. SigLIP 2 of fixed size is of type siglip."""


def transformers_tower(model: Any, dense: str) -> TransformerTower:
    """Take the vision tower of a CLIP, SigLIP or SigLIP 2 (NaFlex) of transformers.

    Args:
        model: of one of the :data:`FAMILIES`.
        dense: name of the dense variant.
    """
    kind = model.config.model_type
    layer = model.vision_model.encoder.layers[-1]
    vision = model.vision_model
    forward = _naflex_forward(model) if kind == "siglip2" else _forward(model)

    def clip_head(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = model.visual_projection(vision.post_layernorm(tokens[:, 0]))
        return vectors

    def siglip_head(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = vision.head(vision.post_layernorm(tokens))
        return vectors

    return TransformerTower(
        forward,
        Tap(layer),
        TransformersBlock(layer),
        prefix=1 if kind == "clip" else 0,
        head=clip_head if kind == "clip" else siglip_head,
        stride=model.config.vision_config.patch_size,
        variant=dense,
    )


def fit_positions(model: Any, side: int, dense: str) -> None:
    """Resize the position embeddings of a CLIP to a grid of ``side`` cells, as the variant's authors do.

    SigLIP's are left to transformers, which resizes them as SigLIP's authors do.
    """
    if model.config.model_type != "clip":
        return
    embeddings = model.vision_model.embeddings
    table = resized_positions(embeddings.position_embedding.weight, side, dense)
    embeddings.position_embedding = torch.nn.Embedding(len(table), table.shape[1], _weight=table.detach())
    embeddings.position_ids = torch.arange(len(table), device=table.device)[None]


def native_crop(model: Any) -> int:
    """Return the side in pixels of a model's own crops, down to a multiple of its patches."""
    config = model.config.vision_config
    if model.config.model_type == "siglip2":
        return int(config.patch_size * round(config.num_patches**0.5))
    return int(config.image_size // config.patch_size * config.patch_size)


def pooled_of(output: Any) -> torch.Tensor:
    """Return the vectors of ``get_image_features`` or ``get_text_features``; an object of late."""
    vectors: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return vectors


def _forward(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda pixels: pooled_of(model.get_image_features(pixels, interpolate_pos_encoding=True))


def _naflex_forward(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """NaFlex takes images as lists of patches with their grid; it fits its positions to any grid itself."""
    side = model.config.vision_config.patch_size

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        patches = rearrange(pixels, "b c (h p) (w q) -> b (h w) (p q c)", p=side, q=side)
        grid = torch.tensor([[pixels.shape[2] // side, pixels.shape[3] // side]] * len(pixels))
        mask = torch.ones(patches.shape[:2], dtype=torch.long, device=pixels.device)
        return pooled_of(
            model.get_image_features(
                pixel_values=patches, pixel_attention_mask=mask, spatial_shapes=grid.to(pixels.device)
            )
        )

    return forward
