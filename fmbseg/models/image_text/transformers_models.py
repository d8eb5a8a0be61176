"""Image-text encoders of transformers, from the Hub or a folder: CLIP and its kin, SigLIP, TIPSv2, AIMv2.

CLIP: Radford et al. 2021 (arXiv 2103.00020). MetaCLIP 2: Chuang et al. 2025 (arXiv 2507.22062). SigLIP: Zhai
et al. 2023 (arXiv 2303.15343). SigLIP 2: Tschannen et al. 2025 (arXiv 2502.14786). TIPSv2: Cao et al. 2026
(arXiv 2604.12012). AIMv2: Fini et al. 2024 (arXiv 2411.14402); only its LiT-tuned version has a text side.

Scale and bias of a model's scores (CLIP's temperature, SigLIP's sigmoid) are not part of its vectors: texts
and cells are compared by cosine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fmbseg.missing_package import require
from fmbseg.models.backbones.hf_kinds import KINDS
from fmbseg.models.image_text.dense_variants import dense_variant, position_rule
from fmbseg.models.image_text.request import ImageTextRequest, checked_crop_size
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.transformers_towers import (
    FAMILIES,
    fit_positions,
    native_crop,
    pooled_of,
    text_dim,
    transformers_tower,
)
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.model_folder import license_of
from fmbseg.models.loading.transformers_files import (
    UNNORMALISED,
    class_of,
    configuration,
    load_transformer,
    pixel_transform,
    read_config,
    transformers_folder,
)
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import torch

    from fmbseg.models.loading.hub_files import HubOptions


def hf(name: str, *, hub: HubOptions | None = None, **options: Any) -> TowerEncoder:
    """Load an image-text model of transformers.

    Args:
        name: ``owner/name`` on the Hub or ``local-dir:/path``; the options may follow, as in
            ``google/siglip2-base-patch16-224?dense=value``.
        hub: how files are looked for.
        options: ``dense``, ``crop_size``, ``precision`` and ``revision``, as for
            :func:`~fmbseg.models.image_text.open_clip.open_clip`.

    Raises:
        UnknownNameError: there is no such variant, or the model is of another family.
        SpecError: there is no such option, or the model has no text side.
        AssetUnavailableError: files are not here and cannot be fetched.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        MissingPackageError: transformers is too old, or what reads the tokenizer is not installed.
        ValueError: an option's value does not fit the model.
    """
    request = ImageTextRequest.read("hf", name, hub, options)
    dense_variant(request.dense)
    folder = transformers_folder(request.name, request.hub)
    values = read_config(folder)
    kind = _family_of(values, request.name, folder)
    model_class = class_of(FAMILIES[kind].model)
    transform = pixel_transform(folder, UNNORMALISED if kind == "tipsv2" else None)
    model = load_transformer(model_class, folder, config=configuration(kind, values, folder))
    if kind == "aimv2":  # its text tower is causal, which transformers forgets if no text is padded
        for layer in model.text_model.encoder.layers:
            layer.attention.is_causal = True
    tower = transformers_tower(model, request.dense)
    asked = request.crop_size
    native = native_crop(model)
    crop = native if asked is None else checked_crop_size(asked, tower.stride)
    rule = position_rule(crop // tower.stride, native // tower.stride, request.dense)
    fit_positions(model, crop // tower.stride, request.dense)
    return TowerEncoder(
        spec=request.spec,
        dim=text_dim(model),
        crop_size=crop,
        license=license_of(folder),
        transform=transform,
        model=model,
        tower=replace(tower, positions=rule),
        embed=_text_function(model, folder),
        precision=request.precision,
        source=request.source,
    )


def _family_of(values: Mapping[str, Any], name: str, folder: Path) -> str:
    """Return the family of a model that has two sides.

    Raises:
        SpecError: it has only a vision side.
        UnknownNameError: its family is not known.
    """
    kind = str(values.get("model_type"))
    # AIMv2's first config.json gives a lone vision tower the name of the two-tower model.
    if kind in FAMILIES and (kind != "aimv2" or "text_config" in values):
        return kind
    if kind in KINDS:
        backbone = "timm:aimv2_large_patch14_224.apple_pt" if kind == "aimv2" else f"hf:{name}"
        raise SpecError(
            f"hf:{name} ({kind}) has no text side, so that it is no image-text model: use it as a backbone, "
            f"backbone={backbone!r}, and take one of {', '.join(FAMILIES)} here"
        )
    raise UnknownNameError(
        f"image-text family of transformers (model_type of {folder})", kind, list(FAMILIES)
    )


def _text_function(model: Any, folder: Path) -> Callable[[Sequence[str], torch.device], torch.Tensor]:
    """Make the function that tokenises texts as in training, cuts them to length and encodes them.

    All are padded to the full length: SigLIP was trained that way, and the others ignore padding.
    """
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file() and list(folder.glob("*.model")):
        require("sentencepiece", "sentencepiece", f"the tokenizer of {folder}")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    length = model.config.text_config.max_position_embeddings
    family = FAMILIES[model.config.model_type]

    def embed(texts: Sequence[str], device: torch.device) -> torch.Tensor:
        tokens = tokenizer(
            [text.lower() if family.lower_case else text for text in texts],
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
            return_attention_mask=not family.sees_padding,
        ).to(device)
        return pooled_of(model.get_text_features(**tokens))

    return embed
