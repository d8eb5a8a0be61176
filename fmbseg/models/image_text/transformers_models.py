"""Image-text encoders of transformers: CLIP, SigLIP and SigLIP 2, from the Hub or a folder.

Radford et al. 2021 (arXiv 2103.00020), Zhai et al. 2023 (arXiv 2303.15343), Tschannen et al. 2025, "SigLIP 2:
Multilingual Vision-Language Encoders with Improved Semantic Understanding, Localization, and Dense Features"
(arXiv 2502.14786).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from fmbseg.models.image_text.blocks import TransformersBlock
from fmbseg.models.image_text.dense_variants import dense_variant
from fmbseg.models.image_text.position_tables import resized_positions
from fmbseg.models.image_text.request import ImageTextRequest, checked_crop_size
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.towers import Tap, TransformerTower
from fmbseg.models.loading.model_folder import license_of, read_object
from fmbseg.models.loading.transformers_files import (
    CONFIG,
    load_transformer,
    pixel_transform,
    transformers_folder,
)
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fmbseg.models.loading.hub_files import HubOptions


FAMILIES = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
"""Model types of ``config.json``, and their classes. SigLIP 2 of fixed size is of type siglip."""


def hf(name: str, *, hub: HubOptions | None = None, **options: Any) -> TowerEncoder:
    """Load CLIP, SigLIP or SigLIP 2 of transformers.

    Args:
        name: ``owner/name`` on the Hub or ``local-dir:/path``; the options may stand behind it, as in
            ``google/siglip2-base-patch16-224?dense=value``.
        hub: how files are looked for.
        options: ``dense``, ``crop_size``, ``precision`` and ``revision``, as of
            :func:`~fmbseg.models.image_text.open_clip.open_clip`.

    Raises:
        UnknownNameError: no such variant, or a model of another family.
        SpecError: no such option.
        AssetUnavailableError: files are neither here nor to be had.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: an option's value does not fit the model.
    """
    import transformers

    request = ImageTextRequest.read("hf", name, hub, options)
    dense_variant(request.dense)
    folder = transformers_folder(request.name, request.hub)
    kind = str(read_object(folder / CONFIG).get("model_type"))
    if kind not in FAMILIES:
        raise UnknownNameError(
            f"image-text family of transformers (model_type of {folder})", kind, list(FAMILIES)
        )
    transform = pixel_transform(folder)
    model = load_transformer(getattr(transformers, FAMILIES[kind]), folder)
    tower = transformers_tower(model, request.dense)
    asked = request.crop_size
    crop = native_crop(model) if asked is None else checked_crop_size(asked, tower.stride)
    fit_positions(model, crop // tower.stride, request.dense)
    return TowerEncoder(
        spec=request.spec,
        dim=_text_dim(model),
        crop_size=crop,
        license=license_of(folder),
        transform=transform,
        model=model,
        tower=tower,
        embed=_text_function(model, folder),
        precision=request.precision,
    )


def _text_dim(model: Any) -> int:
    config = model.config
    return int(config.projection_dim if config.model_type == "clip" else config.text_config.projection_size)


def _text_function(model: Any, folder: Path) -> Callable[[Sequence[str], torch.device], torch.Tensor]:
    """Make what tokenises texts as the model was trained, each cut to its length, and encodes them.

    All are padded to the full length: SigLIP was trained so, and CLIP's causal attention does not see it.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    length = model.config.text_config.max_position_embeddings
    masked = model.config.model_type == "clip"

    def embed(texts: Sequence[str], device: torch.device) -> torch.Tensor:
        tokens = tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
            return_attention_mask=masked,  # SigLIP attends to its padding
        ).to(device)
        return pooled_of(model.get_text_features(**tokens))

    return embed


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
