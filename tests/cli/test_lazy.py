"""The list of commands is told without loading them."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from fmbseg.cli.main import Commands, app


@pytest.mark.parametrize("name", Commands.lazy)
def test_the_list_says_of_each_command_what_its_own_help_begins_with(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.name == name
    assert command.help.partition("\n\n")[0] == Commands.lazy[name].help


def test_a_command_that_is_added_to_the_app_is_listed_and_run() -> None:
    added = typer.Typer(cls=Commands)

    @added.command()
    def greet() -> None:
        """Say hello."""
        typer.echo("hello")

    @added.callback()
    def options() -> None:
        """Commands, and one more."""

    runner = CliRunner()
    assert "Say hello." in runner.invoke(added, ["--help"]).output
    assert runner.invoke(added, ["greet"]).output == "hello\n"
