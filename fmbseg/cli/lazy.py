"""A group of commands that loads each when it is run, so that a list of them is told at once."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

from fmbseg.cli.friendly import FriendlyGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Lazy(NamedTuple):
    """A command that is not loaded yet.

    Attributes:
        place: its function, or a ``typer.Typer`` with commands of its own, as ``MODULE:NAME``.
        help: its line in the list of commands; its own help begins with it, too.
    """

    place: str
    help: str


class LazyGroup(FriendlyGroup):
    """A group of the commands in :attr:`lazy`; the list of them loads none."""

    lazy: ClassVar[Mapping[str, Lazy]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded(self.lazy, self.commands)
        self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands."""
        del ctx
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; while they are listed, its name and line alone."""
        if self._listing and cmd_name in self.lazy:
            return TyperCommand(cmd_name, help=self.lazy[cmd_name].help)
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the list of commands."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


class _Loaded(MutableMapping[str, Any]):
    """Commands by name, in order; each is loaded when it is first asked for.

    Args:
        lazy: those that are not loaded yet.
        others: those that are.
    """

    def __init__(self, lazy: Mapping[str, Lazy], others: Mapping[str, Any]) -> None:
        self._lazy = lazy
        self._commands: dict[str, Any] = {**dict.fromkeys(lazy), **others}

    def __getitem__(self, name: str) -> Any:
        if self._commands[name] is None:
            self._commands[name] = _load(name, self._lazy[name])
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


def _load(name: str, lazy: Lazy) -> Any:
    module, _, place = lazy.place.partition(":")
    found = getattr(import_module(module), place)
    command: Any
    if isinstance(found, typer.Typer):
        command = get_group(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command()(found)
        command = get_command(alone)
    command.name = name
    return command
