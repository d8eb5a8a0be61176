"""What is known about a recipe without loading a model: licences, gates, sizes, memory, what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.catalog import find_card
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.registries import REGISTRIES
from fmbseg.recipes.sources import SOURCES, HubSource, gates_of, is_cached, sources_of

if TYPE_CHECKING:
    from fmbseg.models.catalog import Role
    from fmbseg.recipes.recipe import Recipe


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
