"""What an ``open_clip:`` spec names in every role: architecture, weights, preprocessing and tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.errors import SpecError, WeightsError
from fmbseg.models.loading.hub_files import cached_folder, hub_folder
from fmbseg.models.loading.model_folder import (
    LOCAL,
    UNKNOWN_LICENSE,
    find_weights,
    license_of,
    local_folder,
    model_folder,
    read_object,
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
    """All that is needed to make an open_clip model.

    Args:
        config: open_clip's model configuration.
        weights: file of the weights; ``None`` if they were not asked for.
        transform: preprocessing that the weights were trained with.
        license: licence of the weights.
        repo: their repository, if they come from the Hub.
        folder: the files' folder, if they are here.
    """

    config: Mapping[str, Any]
    weights: Path | None
    transform: PixelTransform
    license: str = UNKNOWN_LICENSE
    repo: str | None = None
    folder: Path | None = None


def find_open_clip(
    name: str, options: HubOptions, given: Mapping[str, Any], *, with_weights: bool = True
) -> OpenClipFiles:
    """Find the files that a name stands for, fetched from the Hub if need be.

    Args:
        name: ``ARCH/TAG``, ``hf-hub:owner/name``, ``local-dir:/path``, or ``ARCH@/path/of/weights`` together
            with its preprocessing in ``given``.
        options: how to look for files on the Hub.
        given: ``mean``, ``std`` and ``interpolation`` (default bicubic), for weights that do not state them.
        with_weights: whether the weights are wanted; if not, ``ARCH`` alone is also a name.

    Raises:
        UnknownNameError: there is no such architecture or tag.
        AssetUnavailableError: files are not here and cannot be fetched.
        WeightsError: a file is damaged, or does not say how to prepare images.
        SpecError: the name has none of these forms.
    """
    if name.startswith((HUB, LOCAL)):
        return _from_folder(name.removeprefix(HUB), options, with_weights=with_weights)
    architecture, at, file = name.partition("@")
    if at:
        return _from_file(architecture, Path(file).expanduser(), given)
    architecture, slash, tag = name.partition("/")
    if slash:
        return _from_tag(architecture, tag, options, with_weights=with_weights)
    config = _config(architecture)
    if with_weights:
        raise SpecError(
            f"'open_clip:{name}' names no weights: write open_clip:ARCH/TAG (of {name}: "
            f"{', '.join(_tags(name)) or 'none'}), open_clip:{HUB}OWNER/NAME, open_clip:{LOCAL}FOLDER or "
            "open_clip:ARCH@FILE"
        )
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    usual = {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}
    return OpenClipFiles(config, None, _transform(usual, "open_clip"))


def _from_folder(name: str, options: HubOptions, *, with_weights: bool) -> OpenClipFiles:
    repo = None if name.startswith(LOCAL) else name
    if with_weights:
        folder = model_folder(name, WEIGHTS, options, needed=(CONFIG,))
    else:
        folder = local_folder(name) if repo is None else hub_folder(name, (CONFIG,), options)
    content = read_object(folder / CONFIG)
    config, pixels = content.get("model_cfg"), content.get("preprocess_cfg") or {}
    if not (isinstance(config, dict) and isinstance(pixels, dict)):
        raise WeightsError(
            f"{folder / CONFIG} has no 'model_cfg' and 'preprocess_cfg' of open_clip's: get it again"
        )
    return OpenClipFiles(
        config=config,
        weights=find_weights(folder, WEIGHTS) if with_weights else None,
        transform=_transform(pixels, folder / CONFIG),
        license=license_of(folder, repo),
        repo=repo,
        folder=folder,
    )


def _from_tag(architecture: str, tag: str, options: HubOptions, *, with_weights: bool) -> OpenClipFiles:
    from open_clip.pretrained import get_pretrained_cfg

    config = _config(architecture)
    known = get_pretrained_cfg(architecture, tag)
    if not known:
        raise UnknownNameError(f"tag of {architecture}", tag, _tags(architecture))
    repo, _, file = str(known["hf_hub"]).rpartition("/")  # for some tags, one file is named
    wanted = (file, *WEIGHTS) if file else WEIGHTS
    if with_weights:
        folder: Path | None = model_folder(repo, wanted, options)
    else:
        cached = (cached_folder(repo, (one,), options) for one in wanted)
        folder = next((one for one in cached if one is not None), None)
    # The activation belongs to the weights: open_clip only warns if ViT-L-14 is to load OpenAI's.
    quick_gelu = bool(known.get("quick_gelu", config.get("quick_gelu", False)))
    return OpenClipFiles(
        config={**config, "quick_gelu": quick_gelu},
        weights=find_weights(folder, wanted) if with_weights and folder is not None else None,
        transform=_transform(known, f"open_clip's {architecture}/{tag}"),
        license=license_of(folder, repo),
        repo=repo,
        folder=folder,
    )


def _from_file(architecture: str, file: Path, given: Mapping[str, Any]) -> OpenClipFiles:
    transform = stated_transform(
        given.get("mean"),
        given.get("std"),
        given.get("interpolation") or "bicubic",
        f"{file} is a bare checkpoint",
        "state mean=r,g,b, std=r,g,b and interpolation=... behind a '?' or by keyword, or keep it in a "
        f"folder with its {CONFIG} and name that: open_clip:{LOCAL}FOLDER",
    )
    if not file.is_file():
        raise WeightsError(f"there is no file {file}: give the path of a checkpoint")
    return OpenClipFiles(_config(architecture), file, transform)


def tokenizer_folder(files: OpenClipFiles, options: HubOptions) -> Path | None:
    """Find the folder of a model's tokenizer; ``None`` means CLIP's own, which comes with open_clip.

    A local folder holds it itself; other models name a repository on the Hub.

    Raises:
        AssetUnavailableError: it is not here and cannot be fetched.
    """
    named = files.config.get("text_cfg", {}).get("hf_tokenizer_name")
    if not named:
        return None
    if files.folder is not None and files.repo in (None, named):
        return files.folder
    return model_folder(named, ("tokenizer.json", "tokenizer_config.json"), replace(options, revision=None))


def _transform(stated: Mapping[str, Any], where: object) -> PixelTransform:
    """The pixels' transform; the interpolation is bicubic if left out, as in open_clip."""
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
