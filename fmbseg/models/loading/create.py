"""Making models with the same Hub options, whether or not they come from there."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from fmbseg.models.catalog import find_card
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError

if TYPE_CHECKING:
    from fmbseg.models.catalog import Role
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.registry import Registry

T = TypeVar("T")


def create_model(registry: Registry[T], spec: str, hub: HubOptions | None = None, **others: Any) -> T:
    """Make what a spec names; ``hub`` is passed on only to factories that take it.

    Args:
        registry: registry that knows the spec.
        spec: the model's spec.
        hub: how files are looked for; by default as the Hub's client is set up.
        others: options of the model itself.

    Raises:
        UnknownNameError: the registry does not know the spec.
        AssetUnavailableError: files are not here and cannot be fetched.
    """
    family = registry.expand(spec).partition(":")[0]
    if hub is not None and _takes_hub(registry, family):
        others["hub"] = hub
    return registry.create(spec, **others)


def lack_of(role: Role, spec: str, hub: HubOptions | None = None) -> str | None:
    """Say what keeps a model from running here, after fetching what can be fetched; ``None`` if nothing does.

    A model that its spec names (on the Hub, or a file) is loaded, since there is no other way to tell.

    Args:
        role: the model's role.
        spec: spec that names it.
        hub: how its files are looked for.

    Raises:
        UnknownNameError: the registry does not know the spec.
    """
    from fmbseg.models.registries import REGISTRIES

    registry = REGISTRIES[role]
    whole = registry.expand(spec)
    card = find_card(role, whole)
    lacks = card.lacks(fetch=True) if card else None
    if lacks is not None or ":" not in whole:
        return lacks
    try:
        create_model(registry, whole, hub)
    except (AssetUnavailableError, WeightsError, ImportError) as error:
        return str(error)
    return None


def _takes_hub(registry: Registry[Any], family: str) -> bool:
    """Whether a factory has an argument ``hub``."""
    return "hub" in inspect.signature(registry.get(family)).parameters
