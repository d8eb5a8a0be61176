"""``fmbseg models``: list the frozen models, show what they lack on this machine, and fetch weights."""

from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import with_hub_options
from fmbseg.cli.recipes import chosen_recipe, show_recipe, show_recipes
from fmbseg.recipes import AUTO, RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.models.loading.hub_files import HubOptions

_NAME_WIDTH = 26

app = typer.Typer(no_args_is_help=True, help="List the frozen models and fetch their weights.")


@app.command("list")
@with_hub_options
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
    *,
    hub: "HubOptions",
) -> None:
    """List models with their roles, licences and whether they can run here, and recipes; or a family's."""
    if family is not None or name_filter:
        _list_specs(family or "presets", name_filter)
        return
    from fmbseg.recipes.sources import describe_recipe

    remedies = []
    last = None
    for role, name, title, licence, state, lacks in _rows():
        if role != last:
            typer.echo(f"{'' if last is None else chr(10)}{role.capitalize()}s")
        last = role
        # Lines that are not broken: names and specs are there to be copied.
        typer.echo(f"  {name:<{_NAME_WIDTH}} {state:<8} {licence}\n      {title}")
        if lacks:
            remedies.append(f"{name}: {lacks}")
    typer.echo(
        "\nready: it runs here. by spec: the code is here, the weights are those that a spec names "
        "(`fmbseg models show SPEC`)."
    )
    for line in remedies:
        typer.echo(f"\n{line}")
    typer.echo("\nPresets of backbones: `fmbseg models list --family presets`; a family's: --family timm.")
    typer.echo("Recipes, which name models that go together (`fmbseg models show RECIPE`, `fetch RECIPE`):\n")
    show_recipes(describe_recipe(one, hub) for one in RECIPES.values())


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
    spec: Annotated[str, typer.Argument(help="Spec of a model (a preset, or family:name), or a recipe.")],
    role: Annotated[
        str | None,
        typer.Option(help="backbone, image-text encoder, mask generator or concept model, if several fit."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    *,
    hub: "HubOptions",
) -> None:
    """Show what the spec of a model resolves to, or what a recipe needs, without loading weights."""
    import json

    from fmbseg.models.describe import describe_model

    if spec in (AUTO, *RECIPES):
        _show_recipe(spec, as_json, hub)
        return
    facts = describe_model(spec, hub, role)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {_shown(value)}")


def _show_recipe(name: str, as_json: bool, hub: "HubOptions") -> None:
    import json

    from fmbseg.recipes.sources import describe_recipe

    facts = describe_recipe(chosen_recipe(name, hub), hub)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        show_recipe(facts)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "not here" if value is None else str(value)


@app.command("fetch")
@with_hub_options
def fetch(
    recipe: Annotated[str, typer.Argument(help=f"One of: {AUTO}, {', '.join(RECIPES)}.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and fetch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print one JSON object.")] = False,
    *,
    hub: "HubOptions",
) -> None:
    """Fetch the weights of a recipe's models and load each once; exit code 1 if any cannot run."""
    from fmbseg.models.loading.create import lack_of

    if dry_run:
        _show_recipe(recipe, as_json, hub)
        return
    if as_json:
        raise typer.BadParameter("--json goes with --dry-run")
    complete = True
    for role, spec in chosen_recipe(recipe, hub).models.items():
        lacks = lack_of(role, spec, hub)
        typer.echo(f"{role} {spec}: {lacks or 'ready'}", err=lacks is not None)
        complete = complete and lacks is None
    if not complete:
        raise typer.Exit(1)


def _rows() -> "Iterator[tuple[str, str, str, str, str, str | None]]":
    """Yield each model's role, name, title, licence, state and what it lacks; other packages' models too."""
    from fmbseg.models.catalog import find_card
    from fmbseg.models.registries import REGISTRIES

    for role, registry in REGISTRIES.items():
        for name in registry.names():
            card = find_card(role, name)
            if card is None:
                yield role, name, "of another package", "see there", "by spec", None
            else:
                lacks = card.lacks()
                state = "missing" if lacks else "by spec" if card.by_spec else "ready"
                yield role, name, card.title, card.license, state, lacks
