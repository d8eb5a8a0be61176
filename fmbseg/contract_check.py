"""Whether an object fulfils a contract (a Protocol), and what it lacks otherwise."""

from __future__ import annotations

import inspect


class ContractError(TypeError):
    """An object from another package or the user lacks parts of the contract that it must fulfil."""


def missing_members(candidate: object, contract: type) -> tuple[list[str], list[str]]:
    """List the methods and attributes of a contract that an object lacks.

    Args:
        candidate: the object.
        contract: a Protocol.

    Returns:
        Methods with their signatures, and names of attributes.

    Example:
        >>> from fmbseg.models.contracts import Prompter
        >>> class Half:
        ...     def everything(self): ...
        >>> missing_members(Half(), Prompter)
        (['prompt(points, boxes)'], [])
    """
    methods = [
        f"{name}({', '.join(list(inspect.signature(method).parameters)[1:])})"
        for name, method in vars(contract).items()
        if inspect.isfunction(method) and not name.startswith("_")
        if not callable(getattr(candidate, name, None))
    ]
    attributes = [name for name in inspect.get_annotations(contract) if not hasattr(candidate, name)]
    return methods, attributes


def require_contract(candidate: object, contract: type, what: str) -> None:
    """Refuse an object that lacks any part of a contract.

    Args:
        candidate: the object.
        contract: a Protocol.
        what: what it should be, for the message.

    Raises:
        ContractError: lists every method and attribute that is missing.
    """
    methods, attributes = missing_members(candidate, contract)
    if methods or attributes:
        lacks = [
            f"{kind}: {', '.join(names)}"
            for kind, names in (("methods", methods), ("attributes", attributes))
            if names
        ]
        raise ContractError(
            f"{what} is a {type(candidate).__qualname__}, which lacks {'; '.join(lacks)} "
            f"(see {contract.__module__}.{contract.__qualname__})"
        )
