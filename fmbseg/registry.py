"""A registry for each kind of model: maps names and ``family:rest`` specs to factories, loaded when used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial, reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, NamedTuple, TypeVar, cast

from fmbseg.contract_check import require_contract
from fmbseg.missing_package import MissingPackageError
from fmbseg.unknown_name import UnknownNameError

__all__ = ["Registry", "UnknownNameError"]

T = TypeVar("T")
FactoryT = TypeVar("FactoryT", bound=Callable[..., object])


class _Entry(NamedTuple):
    """Where a factory is defined (``module:qualname``) and how to load it."""

    place: str
    load: Callable[[], object]


class Registry(Generic[T]):
    """Factories by name, from three sources: built in, entry points of other packages, and ``register``.

    Nothing is imported before it is used, so listing the names is cheap. A name that two
    sources claim is an error that names both places, never a silent choice.

    Args:
        kind: what the factories make, in words for messages, for example ``"backbone"``.
        entry_point_group: group in which other packages may declare factories.
        builtin: ``name -> "module:attribute"``.
        presets: short names for whole specs; options may follow after a ``?``.
        contract: the protocol that the products must fulfil; ``None`` for any object.

    Example:
        >>> numbers = Registry[object](
        ...     "number",
        ...     "example.numbers",
        ...     {"fraction": "fractions:Fraction"},
        ...     presets={"half": "fraction:1/2"},
        ... )
        >>> numbers.create("fraction:3/4"), numbers.create("half")
        (Fraction(3, 4), Fraction(1, 2))
        >>> @numbers.register("three")
        ... def three():
        ...     return 3
        >>> numbers.names()
        ['fraction', 'three']
    """

    def __init__(
        self,
        kind: str,
        entry_point_group: str,
        builtin: Mapping[str, str],
        *,
        presets: Mapping[str, str] | None = None,
        contract: type | None = None,
    ) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self.presets = dict(presets or {})
        self._contract = contract
        self._entries: dict[str, _Entry] = {}
        self._scanned_entry_points = False
        for name, place in builtin.items():
            self._add(name, _Entry(place, partial(_import_place, place)))

    def register(self, name: str) -> Callable[[FactoryT], FactoryT]:
        """Register the decorated factory under ``name``.

        Args:
            name: the name, without a colon; what follows a colon in a spec is passed to the factory.

        Raises:
            ValueError: the name is taken (the message names both places), empty, or holds a colon.
        """

        def decorate(factory: FactoryT) -> FactoryT:
            self._scan_entry_points()
            self._add(name, _Entry(_place_of(factory), lambda: factory))
            return factory

        return decorate

    def names(self) -> list[str]:
        """Every registered name, sorted; imports no factory."""
        self._scan_entry_points()
        return sorted(self._entries)

    def get(self, name: str) -> Callable[..., T]:
        """The factory of a name.

        Raises:
            UnknownNameError: the name is unknown; the message offers near misses.
            ImportError: the factory's module needs a package that is not installed.
            TypeError: the registered object is not callable.
        """
        self._scan_entry_points()
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, [*self.names(), *self.presets])
        entry = self._entries[name]
        try:
            factory = entry.load()
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"{self.kind} {name!r} ({entry.place}) needs the package {error.name!r}, which is not "
                f"installed: install it and try again",
                name=error.name,
            ) from error
        if not callable(factory):
            raise TypeError(f"{self.kind} {name!r}: {entry.place} is {factory!r}, which is not a factory")
        return cast("Callable[..., T]", factory)

    def expand(self, spec: str) -> str:
        """The whole spec that a preset stands for, with its options; other specs unchanged.

        Example:
            >>> numbers = Registry[object]("number", "example.numbers", {}, presets={"half": "fraction:1/2"})
            >>> numbers.expand("half?digits=3"), numbers.expand("fraction:1/3")
            ('fraction:1/2?digits=3', 'fraction:1/3')
        """
        name, mark, options = spec.partition("?")
        return self.presets[name] + mark + options if name in self.presets else spec

    def create(self, spec: str, **options: Any) -> T:
        """Make what ``spec`` names.

        Args:
            spec: ``name``, ``family:rest``, or a preset; the rest is the factory's first positional argument.
            options: passed to the factory by keyword.

        Raises:
            UnknownNameError: nothing has that name.
            ValueError: the spec or the options do not fit the factory; the message shows its signature.
            ContractError: what the factory made lacks methods or attributes; the message lists them.
        """
        made = self._make(self.expand(spec), options)
        if self._contract is not None:
            name = self.expand(spec).partition(":")[0]
            require_contract(made, self._contract, f"{self.kind} {spec!r} of {self._entries[name].place}")
        return made

    def _make(self, spec: str, options: Mapping[str, Any]) -> T:
        name, _, rest = spec.partition(":")
        factory = self.get(name)
        arguments = (rest,) if rest else ()
        try:
            signature = inspect.signature(factory)
        except ValueError:  # some factories written in C cannot say what they take
            return factory(*arguments, **options)
        try:
            signature.bind(*arguments, **options)
        except TypeError as error:
            given = f" with {', '.join(options)}" if options else ""
            shown = signature.replace(return_annotation=inspect.Signature.empty)
            raise ValueError(
                f"{self.kind} {spec!r}{given} does not fit its factory {self._entries[name].place}{shown}: "
                f"{error}; a spec is {name!r} or '{name}:<first argument>'"
            ) from error
        return factory(*arguments, **options)

    def _add(self, name: str, entry: _Entry) -> None:
        if not name or ":" in name:
            raise ValueError(f"{self.kind} name {name!r} of {entry.place} must not be empty or hold a colon")
        if name in self._entries:
            raise ValueError(
                f"two factories claim the {self.kind} name {name!r}: {self._entries[name].place} and "
                f"{entry.place}; rename one"
            )
        self._entries[name] = entry

    def _scan_entry_points(self) -> None:
        if self._scanned_entry_points:
            return
        for point in entry_points(group=self.entry_point_group):
            self._add(point.name, _Entry(point.value, point.load))
        self._scanned_entry_points = True


def _place_of(factory: Callable[..., object]) -> str:
    qualname = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{factory.__module__}:{qualname}"


def _import_place(place: str) -> object:
    module, _, attribute = place.partition(":")
    return reduce(getattr, attribute.split("."), import_module(module))
