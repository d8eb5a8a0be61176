"""Image-text encoders of transformers: CLIP, SigLIP and SigLIP 2, from the Hub or a folder.

Radford et al. 2021 (arXiv 2103.00020), Zhai et al. 2023 (arXiv 2303.15343), Tschannen et al. 2025, "SigLIP 2:
Multilingual Vision-Language Encoders with Improved Semantic Understanding, Localization, and Dense Features"
(arXiv 2502.14786).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.image_text.dense_variants import dense_variant
from fmbseg.models.image_text.request import ImageTextRequest, checked_crop_size
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.transformers_towers import (
    FAMILIES,
    fit_positions,
    native_crop,
    pooled_of,
    transformers_tower,
)
from fmbseg.models.loading.model_folder import license_of, read_json
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

    import torch

    from fmbseg.models.loading.hub_files import HubOptions


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
    kind = str(read_json(folder / CONFIG).get("model_type"))
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
