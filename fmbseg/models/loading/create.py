"""Making models with the same options of the Hub, whether or not they come from there."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from fmbseg.models.catalog import find_card
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError

if TYPE_CHECKING:
    from fmbseg.models.catalog import Role
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.registry import Registry

T = TypeVar("T")


def create_model(registry: Registry[T], spec: str, hub: HubOptions | None = None, **others: Any) -> T:
    """Make what a spec names; a model that is not from the Hub has no use for its options, and gets none.

    Args:
        registry: that knows the spec.
        spec: of the model.
        hub: how files are looked for, if not as the Hub's client is set up.
        others: options of the model itself.

    Raises:
        UnknownNameError: the registry does not know the spec.
        AssetUnavailableError: files are neither here nor to be had.
    """
    wanted = () if hub is None else fields(hub)
    given = {field.name: getattr(hub, field.name) for field in wanted}
    family = registry.expand(spec).partition(":")[0]
    options = {
        field.name: given[field.name]
        for field in wanted
        if given[field.name] != field.default and _takes(registry, family, field.name)
    }
    return registry.create(spec, **options, **others)


def lack_of(role: Role, spec: str, hub: HubOptions | None = None) -> str | None:
    """Say what keeps a model from running here, after fetching what can be fetched; ``None`` if nothing.

    A model that is named by its spec (of the Hub, or a file) is loaded for it, since only that tells.

    Args:
        role: of the model.
        spec: that names it.
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


def _takes(registry: Registry[Any], family: str, option: str) -> bool:
    parameters = inspect.signature(registry.get(family)).parameters.values()
    return any(one.name == option or one.kind is one.VAR_KEYWORD for one in parameters)
