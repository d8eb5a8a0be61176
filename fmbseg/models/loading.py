"""Making models with the same options of the Hub, whether or not they come from there."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from fmbseg.models.hub_files import HubOptions
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


def _takes(registry: Registry[Any], family: str, option: str) -> bool:
    parameters = inspect.signature(registry.get(family)).parameters.values()
    return any(one.name == option or one.kind is one.VAR_KEYWORD for one in parameters)
