"""What an ``open_clip:`` spec names: an architecture, its weights, its preprocessing and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.model_folder import (
    LOCAL,
    UNKNOWN_LICENSE,
    find_weights,
    license_of,
    model_folder,
    read_json,
)
from fmbseg.models.loading.preprocessing import stated_transform
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.models.transform import PixelTransform

HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")


@dataclass(frozen=True)
class OpenClipFiles:
    """All that makes an open_clip model.

    Args:
        config: open_clip's model configuration.
        weights: file of the weights.
        transform: preprocessing that the weights were trained with.
        tokenizer: folder of a transformers tokenizer; ``None`` is CLIP's own, which open_clip carries.
        license: of the weights.
    """

    config: Mapping[str, Any]
    weights: Path
    transform: PixelTransform
    tokenizer: Path | None
    license: str


def find_open_clip(name: str, options: HubOptions, given: Mapping[str, Any]) -> OpenClipFiles:
    """Find the files that a name stands for, fetched from the Hub if need be.

    Args:
        name: ``ARCH/TAG``, ``hf-hub:owner/name``, ``local-dir:/path``, or ``ARCH@/path/of/weights`` together
            with its preprocessing in ``given``.
        options: how to look for files on the Hub.
        given: ``mean`` and ``std``, and ``interpolation``, for weights that come without.

    Raises:
        UnknownNameError: no such architecture or tag.
        AssetUnavailableError: files are neither here nor to be had.
        WeightsError: a file is damaged, or says not how images are to be prepared.
        ValueError: the name is none of these.
    """
    if name.startswith((HUB, LOCAL)):
        return _from_folder(name.removeprefix(HUB), options)
    architecture, at, file = name.partition("@")
    if at:
        return _from_file(architecture, Path(file).expanduser(), options, given)
    architecture, slash, tag = name.partition("/")
    if not slash:
        raise ValueError(
            f"'open_clip:{name}' names no weights: write open_clip:ARCH/TAG (of {name}: "
            f"{', '.join(_tags(name)) or 'none'}), open_clip:{HUB}OWNER/NAME, open_clip:{LOCAL}FOLDER or "
            f"open_clip:ARCH@FILE"
        )
    return _from_tag(architecture, tag, options)


def _from_folder(name: str, options: HubOptions) -> OpenClipFiles:
    folder = model_folder(name, WEIGHTS, options)
    content = read_json(folder / CONFIG)
    if not isinstance(content.get("model_cfg"), dict):
        raise WeightsError(f"{folder / CONFIG} has no 'model_cfg': it is not open_clip's; get it again")
    config = content["model_cfg"]
    own = folder if name.startswith(LOCAL) else None
    return OpenClipFiles(
        config=config,
        weights=find_weights(folder, WEIGHTS),
        transform=transform_of(content.get("preprocess_cfg") or {}, folder / CONFIG),
        tokenizer=_tokenizer(config, options, own=own, repository=name, folder=folder),
        license=license_of(folder),
    )


def _from_tag(architecture: str, tag: str, options: HubOptions) -> OpenClipFiles:
    from open_clip.pretrained import get_pretrained_cfg

    config = _config(architecture)
    known = get_pretrained_cfg(architecture, tag)
    if not known:
        raise UnknownNameError(f"tag of {architecture}", tag, _tags(architecture))
    repository, _, file = str(known["hf_hub"]).rpartition("/")
    wanted = (file, *WEIGHTS) if file else WEIGHTS
    folder = model_folder(repository, wanted, options)
    # The activation belongs to the weights: open_clip only warns where ViT-L-14 is to load OpenAI's.
    return OpenClipFiles(
        config={**config, "quick_gelu": bool(known.get("quick_gelu", False))},
        weights=find_weights(folder, wanted),
        transform=transform_of(known, f"open_clip's {architecture}/{tag}"),
        tokenizer=_tokenizer(config, options),
        license=license_of(folder),
    )


def _from_file(architecture: str, file: Path, options: HubOptions, given: Mapping[str, Any]) -> OpenClipFiles:
    if not given.get("mean") or not given.get("std"):
        raise WeightsError(
            f"{file} is a bare checkpoint: nothing says which preprocessing it was trained with, and "
            f"fmbseg does "
            f"not guess; pass mean=(r, g, b), std=(r, g, b) and interpolation=..., or keep it in a folder "
            f"with its {CONFIG} and name that: open_clip:{LOCAL}FOLDER"
        )
    config = _config(architecture)
    return OpenClipFiles(
        config=config,
        weights=file,
        transform=transform_of(given, "the options"),
        tokenizer=_tokenizer(config, options),
        license=UNKNOWN_LICENSE,
    )


def transform_of(stated: Mapping[str, Any], where: object) -> PixelTransform:
    """Take the preprocessing that travels with weights.

    Args:
        stated: with ``mean``, ``std`` and ``interpolation`` (bicubic where left out, as in open_clip).
        where: it stands, for the message.

    Raises:
        WeightsError: mean or std are missing, or the interpolation is unknown.
    """
    mean, std = stated.get("mean"), stated.get("std")
    interpolation = stated.get("interpolation") or "bicubic"
    return stated_transform(
        mean,
        std,
        interpolation,
        f"{where} states mean {mean!r}, std {std!r}, interpolation {interpolation!r}",
        "three numbers, three numbers and bilinear or bicubic are needed; write them there",
    )


def _config(architecture: str) -> dict[str, Any]:
    import open_clip

    config = open_clip.get_model_config(architecture)
    if config is None:
        raise UnknownNameError("open_clip architecture", architecture, open_clip.list_models())
    return dict(config)


def _tags(architecture: str) -> list[str]:
    from open_clip import list_pretrained_tags_by_model

    tags: list[str] = list_pretrained_tags_by_model(architecture)
    return tags


def _tokenizer(
    config: Mapping[str, Any],
    options: HubOptions,
    *,
    own: Path | None = None,
    repository: str | None = None,
    folder: Path | None = None,
) -> Path | None:
    """Return the folder of the tokenizer: a local model's own, or that of the repository that is named."""
    named = config.get("text_cfg", {}).get("hf_tokenizer_name")
    if not named:
        return None
    if own is not None:
        return own
    if named == repository:
        return folder
    return model_folder(named, ("tokenizer.json", "tokenizer_config.json"), replace(options, revision=None))
