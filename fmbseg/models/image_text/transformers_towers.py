"""The vision towers of transformers' image-text models, and how their families differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from einops import rearrange

from fmbseg.models.image_text.blocks import LastBlock, aimv2_block, clip_block, tipsv2_block
from fmbseg.models.image_text.dense_variants import resized_positions
from fmbseg.models.image_text.towers import Tap, TransformerTower

if TYPE_CHECKING:
    from collections.abc import Callable


class Family(NamedTuple):
    """How one family differs from the others.

    Attributes:
        model: its class in transformers.
        block: takes apart the last layer of its vision tower.
        class_token: whether the vision tower has one, used as the pooled vector; if not, attention pools.
        sees_padding: whether the text tower attends to padding, as in its training.
        lower_case: whether training texts were in lower case, whatever the tokenizer does.
    """

    model: str
    block: Callable[[Any], LastBlock] = clip_block
    class_token: bool = True
    sees_padding: bool = False
    lower_case: bool = False


_SIGLIP = Family("SiglipModel", class_token=False, sees_padding=True, lower_case=True)

FAMILIES: dict[str, Family] = {
    "aimv2": Family("Aimv2Model", aimv2_block, class_token=False),
    "clip": Family("CLIPModel"),
    "metaclip_2": Family("MetaClip2Model"),
    "siglip": _SIGLIP,
    "siglip2": _SIGLIP._replace(model="Siglip2Model"),
    "tipsv2": Family("Tipsv2Model", tipsv2_block),
}
"""By ``model_type`` in ``config.json``. SigLIP 2 with a fixed size has the type siglip."""


def transformers_tower(model: Any, dense: str) -> TransformerTower:
    """Take the vision tower of a transformers model.

    Args:
        model: model of one of the :data:`FAMILIES`.
        dense: name of the dense variant.
    """
    kind, vision = model.config.model_type, model.vision_model
    family = FAMILIES[kind]
    layer = (vision.encoder.layer if kind == "tipsv2" else vision.encoder.layers)[-1]
    registers = model.config.vision_config.num_register_tokens if kind == "tipsv2" else 0
    return TransformerTower(
        _forward(model, kind),
        Tap(layer),
        family.block(layer),
        prefix=registers + (1 if family.class_token else 0),
        head=_head(model, kind),
        stride=model.config.vision_config.patch_size,
        variant=dense,
    )


def text_dim(model: Any) -> int:
    """Return the dimensions of a model's text space."""
    kind, config = model.config.model_type, model.config
    if kind == "tipsv2":
        return int(config.text_config.hidden_size)
    return int(config.text_config.projection_size if kind.startswith("siglip") else config.projection_dim)


def native_crop(model: Any) -> int:
    """Return the side in pixels of a model's own crops, rounded down to a multiple of its patches."""
    config = model.config.vision_config
    if model.config.model_type == "siglip2":
        return int(config.patch_size * round(config.num_patches**0.5))
    return int(config.image_size // config.patch_size * config.patch_size)


def fit_positions(model: Any, side: int, dense: str) -> None:
    """Resize the position embeddings of a CLIP, as the variant's authors do, or of an AIMv2 in the same way.

    Those of SigLIP and TIPSv2 are left to transformers, which resizes them as their authors do.
    AIMv2's authors resize none.
    """
    kind, embeddings = model.config.model_type, model.vision_model.embeddings
    if kind not in ("clip", "metaclip_2", "aimv2"):
        return
    prefix = 1 if FAMILIES[kind].class_token else 0
    table = resized_positions(embeddings.position_embedding.weight, side, dense, prefix)
    embeddings.position_embedding = torch.nn.Embedding(len(table), table.shape[1], _weight=table.detach())
    embeddings.position_ids = torch.arange(len(table), device=table.device)[None]


def pooled_of(output: Any) -> torch.Tensor:
    """Return the vectors of ``get_image_features`` or ``get_text_features``; newer versions wrap them."""
    vectors: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return vectors


def _head(model: Any, kind: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make what follows the last block: from tokens (B, L, C) to vectors in the text space (B, D)."""
    vision = model.vision_model

    def clip(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = model.visual_projection(vision.post_layernorm(tokens[:, 0]))
        return vectors

    def siglip(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = vision.head(vision.post_layernorm(tokens))
        return vectors

    def aimv2(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = model.visual_projection(vision.head(vision.rms_norm(tokens)))
        return vectors

    def tipsv2(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = vision.layernorm(tokens[:, 0])
        return vectors

    return {"aimv2": aimv2, "tipsv2": tipsv2, "siglip": siglip, "siglip2": siglip}.get(kind, clip)


def _forward(model: Any, kind: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make the library's own pass: from pixels to pooled vectors."""
    if kind == "siglip2":
        return _naflex_forward(model)
    if kind in ("aimv2", "tipsv2"):  # they take no such argument
        return lambda pixels: pooled_of(model.get_image_features(pixels))
    return lambda pixels: pooled_of(model.get_image_features(pixels, interpolate_pos_encoding=True))


def _naflex_forward(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """NaFlex takes images as lists of patches with their grid; it fits its positions to any grid."""
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
