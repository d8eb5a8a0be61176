"""``fmbseg models``: list the frozen models, show what they lack on this machine, and fetch weights."""

from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import with_hub_options
from fmbseg.recipes import RECIPES, get_recipe
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.models.loading.hub_files import HubOptions

app = typer.Typer(no_args_is_help=True, help="List the frozen models and fetch their weights.")


@app.command("list")
def list_models(
    family: Annotated[
        str | None, typer.Option(help="List a family's own models: presets, timm, hf, open_clip or sam.")
    ] = None,
    name_filter: Annotated[
        str,
        typer.Option(
            "--filter", help="Show only names that contain this; searches presets if no family is given."
        ),
    ] = "",
) -> None:
    """List every model with its role, licence and whether it can run here, or the models of a family."""
    if family is not None or name_filter:
        _list_specs(family or "presets", name_filter)
        return
    from rich.console import Console
    from rich.table import Column, Table

    # Names and specs are there to be copied: on a narrow terminal they are not cut short.
    name_column, model_column = Column("name", no_wrap=True), Column("model", overflow="fold")
    table = Table(name_column, model_column, "role", "licence", "here", box=None, pad_edge=False)
    remedies = []
    for name, title, role, licence, lacks in _rows():
        table.add_row(name, title, role, licence, "missing" if lacks else "ready")
        if lacks:
            remedies.append(f"{name}: {lacks}")
    Console().print(table)
    for line in remedies:
        typer.echo(f"\n{line}")
    typer.echo("\nPresets of backbones: `fmbseg models list --family presets`; a family's: --family timm.")
    typer.echo(f"Recipes: {', '.join(RECIPES)}. `fmbseg models fetch RECIPE` fetches what one needs.")


def _list_specs(family: str, text: str) -> None:
    from fmbseg.models.describe import model_specs

    specs = model_specs(family, text)
    for spec in specs:
        typer.echo(spec)
    if not specs:
        raise ValueError(f"no model of {family!r} has {text!r} in its name")


@app.command("show")
@with_hub_options
def show(
    spec: Annotated[str, typer.Argument(help="Spec of a backbone: a preset, or family:name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    *,
    hub: "HubOptions",
) -> None:
    """Show what the spec of a backbone resolves to, without loading weights."""
    import json

    from fmbseg.models.describe import describe_backbone

    facts = describe_backbone(spec, hub)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "not here" if value is None else str(value)


@app.command("fetch")
@with_hub_options
def fetch(
    recipe: Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")],
    *,
    hub: "HubOptions",
) -> None:
    """Fetch the weights of a recipe's three models and load each once; exit code 1 if any cannot run."""
    from fmbseg.models.loading.create import lack_of

    try:
        chosen = get_recipe(recipe)
    except UnknownNameError as error:
        raise typer.BadParameter(str(error)) from error
    complete = True
    for role, spec in chosen.models.items():
        lacks = lack_of(role, spec, hub)
        typer.echo(f"{role} {spec}: {lacks or 'ready'}", err=lacks is not None)
        complete = complete and lacks is None
    if not complete:
        raise typer.Exit(1)


def _rows() -> "Iterator[tuple[str, str, str, str, str | None]]":
    """Yield each model's name, title, role, licence and what it lacks; includes models of other packages."""
    from fmbseg.models.catalog import find_card
    from fmbseg.models.registries import REGISTRIES

    for role, registry in REGISTRIES.items():
        for name in registry.names():
            card = find_card(role, name)
            if card is None:
                yield name, "of another package", role, "see there", None
            else:
                yield name, card.title, role, card.license, card.lacks()
