"""SAM's image encoder as a backbone, on any grid, whichever library its parts come from."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from einops import rearrange
from torch import nn

from fmbseg.files import cache_home
from fmbseg.models.backbones.facts import GridNetwork, Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
from fmbseg.models.backbones.grids import chosen_layers
from fmbseg.models.backbones.positions import PLAIN, PositionTable
from fmbseg.models.backbones.request import NETWORK_OPTIONS, NO_WEIGHTS, PRETRAINED, RANDOM, BackboneRequest
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.loading.weights import fit, part_of, read_state_dict, seeded
from fmbseg.models.transform import PixelTransform
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.backbones.positions import Interpolation

_TRANSFORM = PixelTransform(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bilinear")
_NECK = 256
_PATCH = 16


class SamSize(NamedTuple):
    """The shape of one of SAM's encoders.

    Attributes:
        width: channels of a token.
        depth: number of blocks.
        heads: number of attention heads.
        whole: blocks that attend to the whole image; the others attend within windows.
        file: name of its checkpoint.
        hub: spec of the same encoder on the Hub.
        image: side in pixels of the images it was trained on.
    """

    width: int
    depth: int
    heads: int
    whole: tuple[int, ...]
    file: str
    hub: str
    image: int = 1024


SIZES: dict[str, SamSize] = {
    "vit_b": SamSize(768, 12, 12, (2, 5, 8, 11), "sam_vit_b_01ec64.pth", "hf:facebook/sam-vit-base"),
    "vit_l": SamSize(1024, 24, 16, (5, 11, 17, 23), "sam_vit_l_0b3195.pth", "hf:facebook/sam-vit-large"),
    "vit_h": SamSize(1280, 32, 16, (7, 15, 23, 31), "sam_vit_h_4b8939.pth", "hf:facebook/sam-vit-huge"),
}


def sam_backbone(name: str, **options: Any) -> FrozenBackbone:
    """Turn SAM's image encoder into a frozen backbone; the neck plays the part of the final norm.

    Args:
        name: ``vit_b``, ``vit_l`` or ``vit_h``, with ``@/path/to/checkpoint.pth`` if it is not where fmbseg
            looks, and options.
        options: ``layers``, ``norm``, ``size``, ``precision``, ``weights``, ``compiled``.

    Raises:
        UnknownNameError: SAM has no such size.
        AssetUnavailableError: the checkpoint is not here.
        SpecError: it does not have the layers that were asked for.
        WeightsError: a checkpoint that does not fit or is not finite.
    """
    request = BackboneRequest.read("sam", name, options, NETWORK_OPTIONS)
    model, _, path = request.name.partition("@")
    if model not in SIZES:
        raise UnknownNameError("encoder of segment_anything", model, SIZES)
    size = SIZES[model]
    layers = chosen_layers(request.layers, size.depth, (size.depth - 1,), request.spec)
    file = _checkpoint(model, path, request)
    with (
        seeded(),
        torch.device("meta") if file is not None or request.weights == NO_WEIGHTS else nullcontext(),
    ):
        encoder = _encoder(size)
    if file is not None:
        fit(encoder, part_of(read_state_dict(file), "image_encoder.", file), file, f"SAM's {model}")
    norm = request.norm is not False
    network = SamEncoder(
        encoder.patch_embed.proj,
        encoder.pos_embed,
        encoder.blocks,
        nn.Sequential(_ChannelsFirst(), encoder.neck) if norm else None,
        layers,
        PLAIN,
    )
    grid = GridNetwork(
        network, (_NECK if norm else size.width) * len(layers), _PATCH, size.image, layers, size.depth, norm
    )
    return frozen(grid, request, _TRANSFORM, Origin(request.name, str(file or size.file), "Apache-2.0"))


class _ChannelsFirst(nn.Module):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.permute(0, 3, 1, 2)


def _encoder(size: SamSize) -> Any:
    from segment_anything.modeling import ImageEncoderViT

    return ImageEncoderViT(
        img_size=size.image,
        patch_size=_PATCH,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
        mlp_ratio=4,
        out_chans=_NECK,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=size.whole,
    ).eval()


def _checkpoint(model: str, path: str, request: BackboneRequest) -> Path | None:
    if path:
        return Path(path)
    if request.weights in (RANDOM, NO_WEIGHTS):
        return None
    if request.weights != PRETRAINED:
        return Path(request.weights)
    kept = cache_home() / "sam" / SIZES[model].file
    if not kept.is_file():
        raise AssetUnavailableError(
            f"sam:{model} needs {SIZES[model].file} of https://github.com/facebookresearch/segment-anything, "
            f"not here. Either put it at {kept}; or name it: 'sam:{model}@/path/{SIZES[model].file}'; "
            f"or take the same encoder from the Hub: '{SIZES[model].hub}' or the preset 'sam_{model}'"
        )
    return kept


def known_specs() -> list[str]:
    """Specs of SAM's three sizes."""
    return [f"sam:{size}" for size in SIZES]


class SamEncoder(nn.Module):
    """SAM's image encoder on any grid; its parts come from segment_anything or from transformers.

    The absolute position embeddings are interpolated, which the authors never had to do, since they
    pad every image to 1024 px; relative ones are interpolated by the blocks, as the authors do.

    Args:
        patches: turns pixels into (B, C, h, w).
        positions: absolute position embeddings (1, side, side, C), or ``None``.
        blocks: each maps (B, h, w, C) to the same shape; those after the last that is read are left out.
        neck: maps (B, h, w, C) to (B, 256, h, w), applied to each layer that is read, or ``None``.
        layers: indices of the layers that are read.
        how: how positions are interpolated.
    """

    def __init__(
        self,
        patches: nn.Module,
        positions: torch.Tensor | None,
        blocks: Sequence[nn.Module],
        neck: nn.Module | None,
        layers: Sequence[int],
        how: Interpolation,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.positions = None if positions is None else PositionTable(positions.flatten(1, 2), 0, how)
        self.blocks = nn.ModuleList(list(blocks)[: max(layers) + 1])
        self.neck = neck
        self._layers = tuple(layers)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) to (B, C, H/16, W/16)."""
        tokens = self.patches(pixels).permute(0, 2, 3, 1)
        grid = (tokens.shape[1], tokens.shape[2])
        if self.positions is not None:
            tokens = tokens + rearrange(self.positions(grid), "1 (h w) c -> 1 h w c", h=grid[0])
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            tokens = tokens[0] if isinstance(tokens, tuple) else tokens
            if index in self._layers:
                maps.append(tokens.permute(0, 3, 1, 2) if self.neck is None else self.neck(tokens))
        return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)
