"""The list of commands is told without loading them."""

from __future__ import annotations

import pytest
import typer

from fmbseg.cli.main import Commands, app


@pytest.mark.parametrize("name", Commands.lazy)
def test_the_list_says_of_each_command_what_its_own_help_begins_with(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.name == name
    assert command.help.partition("\n\n")[0] == Commands.lazy[name].help
