"""Which kind of tower an open_clip model has, at the requested crop size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.image_text.blocks import open_clip_block, timm_block
from fmbseg.models.image_text.dense_variants import position_rule, resized_positions
from fmbseg.models.image_text.request import checked_crop_size
from fmbseg.models.image_text.towers import (
    CELLS,
    AttentionPoolTower,
    Tap,
    TransformerTower,
    TrunkTower,
)

if TYPE_CHECKING:
    from fmbseg.models.image_text.towers import Tower


def open_clip_tower(visual: Any, crop_size: int | str | None, dense: str) -> tuple[Tower, int]:
    """Take the vision tower of an open_clip model; its position embeddings are resized if necessary.

    CLIP's own are resized as the authors of the variant do
    (:func:`~fmbseg.models.image_text.dense_variants.resized_positions`), those of timm's towers
    as timm does.

    Args:
        visual: the model's ``visual``; changed in place if the crop size is not its own.
        crop_size: side in pixels of the crops that it will be given; its own if ``None``.
        dense: name of the dense variant.

    Returns:
        The tower, and its crop size: a multiple of its stride (a side of 384 with stride 14 becomes 378, as
        the model ignores the rest).

    Raises:
        ValueError: the tower does not have this variant, or the crop size is not a multiple of its stride.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer
    from timm.models.vision_transformer import Block
    from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer

    if isinstance(visual, VisionTransformer):
        return _native_tower(visual, crop_size, dense)
    if isinstance(visual, ModifiedResNet):
        _refuse_unless(dense, ("maskclip", "value"), "a ResNet with an attention pool")
        side = _crop_side(crop_size, visual.image_size, 32)
        pool = visual.attnpool
        pool.positional_embedding = _resized(pool.positional_embedding, side // 32, dense)
        return AttentionPoolTower(visual, Tap(pool)), side
    trunk = visual.trunk
    if type(trunk) is TimmVisionTransformer and type(trunk.blocks[-1]) is Block and _plain(trunk):
        return _timm_vit_tower(visual, crop_size, dense)
    _refuse_unless(dense, (CELLS,), f"the tower {type(trunk).__name__}")
    stride = trunk.feature_info[-1]["reduction"]
    side = _crop_side(crop_size, visual.image_size, stride)
    if side != _square(visual.image_size) and hasattr(trunk, "set_input_size"):
        trunk.set_input_size((side, side))
    return TrunkTower(visual, stride), side


def _native_tower(visual: Any, crop_size: int | str | None, dense: str) -> tuple[Tower, int]:
    from open_clip.transformer import ResidualAttentionBlock

    block = visual.transformer.resblocks[-1]
    if type(block) is not ResidualAttentionBlock:
        raise ValueError(
            f"the tower ends in {type(block).__name__}, whose attention is not the plain one: there is no "
            f"dense "
            f"variant for it; use another architecture"
        )
    stride = visual.patch_size[0]
    side = _crop_side(crop_size, visual.image_size, stride)
    rule = position_rule(side // stride, _square(visual.image_size) // stride, dense)
    visual.positional_embedding = _resized(visual.positional_embedding, side // stride, dense)

    def head(tokens: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = visual._pool(tokens)[0] @ visual.proj
        return pooled[:, 0] if pooled.ndim == 3 else pooled  # CoCa pools to many queries, the first is ours

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        given = visual(pixels)
        pooled: torch.Tensor = given[0] if isinstance(given, tuple) else given
        return pooled

    apart = open_clip_block(block)
    if visual.attn_pool is None and visual.pool_type == "tok":
        # Nothing but the class token leaves the last block, so nothing else is computed there.
        block.forward = lambda states, **_: apart.first_token(states)
    tower = TransformerTower(
        forward, Tap(block), apart, 1, head, stride=stride, variant=dense, positions=rule
    )
    return tower, side


def _timm_vit_tower(visual: Any, crop_size: int | str | None, dense: str) -> tuple[Tower, int]:
    trunk = visual.trunk
    own = _square(visual.image_size)
    stride = own // trunk.patch_embed.grid_size[0]  # also that of a hybrid's stem, whose patches are one cell
    side = _crop_side(crop_size, own, stride)
    if side != own // stride * stride:
        trunk.set_input_size((side, side))

    def head(tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = visual.head(trunk.forward_head(trunk.norm(tokens)))
        return vectors

    block = trunk.blocks[-1]
    tower = TransformerTower(
        visual, Tap(block), timm_block(block), trunk.num_prefix_tokens, head, stride=stride, variant=dense
    )
    return tower, side


def _plain(trunk: Any) -> bool:
    """Whether the last block's attention is timm's plain one, without a gate."""
    from timm.layers.attention import Attention

    attention = trunk.blocks[-1].attn
    return type(attention) is Attention and getattr(attention, "gate", None) is None


def _resized(positions: torch.Tensor, side: int, dense: str) -> torch.nn.Parameter:
    return torch.nn.Parameter(resized_positions(positions, side, dense))


def _crop_side(crop_size: int | str | None, native: int | tuple[int, int], stride: int) -> int:
    return _square(native) // stride * stride if crop_size is None else checked_crop_size(crop_size, stride)


def _square(native: int | tuple[int, int]) -> int:
    """Return the side of a model's own crops."""
    sides = (native, native) if isinstance(native, int) else tuple(native)
    if sides[0] != sides[1]:
        raise ValueError(
            f"the model was trained on {sides[0]} x {sides[1]} px: only square crops are supported"
        )
    return int(sides[0])


def _refuse_unless(dense: str, known: tuple[str, ...], tower: str) -> None:
    if dense not in known:
        raise ValueError(
            f"dense is {dense!r}, but {tower} has no transformer block at its end that could be changed so: "
            f"use dense={' or dense='.join(map(repr, known))}"
        )
