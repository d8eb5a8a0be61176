"""``fmbseg models``: list the frozen models and recipes, show what they lack here, and fetch weights."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbseg.cli.options import with_hub_options
from fmbseg.recipes import AUTO, RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe

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


def chosen_recipe(name: str, hub: "HubOptions", device: "torch.device | None" = None) -> "Recipe":
    """The recipe of a name; with ``auto``, the one that it chooses for this machine now.

    Raises:
        typer.BadParameter: there is none of this name.
    """
    from fmbseg.recipes import AUTO, get_recipe
    from fmbseg.unknown_name import UnknownNameError

    if name == AUTO:
        from fmbseg.devices import find_device
        from fmbseg.recipes.auto import choose

        choice = choose(hub, device or find_device())
        typer.echo(choice, err=True)
        return choice.recipe
    try:
        return get_recipe(name)
    except UnknownNameError as error:
        raise typer.BadParameter(str(error)) from error


def show_recipe(facts: dict[str, Any]) -> None:
    """Print what :func:`fmbseg.recipes.sources.describe_recipe` says, as a table and lines."""
    typer.echo(f"recipe {facts['name']}: {facts['title']}\n")
    rows = [("role", "model", "licence", "GB", "here", "files")]
    for model in facts["models"]:
        named = (model["role"], model["spec"])
        for file in model["sources"]:
            licence = f"{file['licence']}, gated" if file["gated"] else file["licence"]
            here = "yes" if file["here"] else "no"
            rows.append((*named, licence, f"{file['gigabytes']:.2f}", here, file["place"]))
            named = ("", "")
    _table(rows)
    typer.echo()
    for name, text in _lines(facts):
        typer.echo(f"{name:<15} {text}")


def show_recipes(described: Iterable[dict[str, Any]]) -> None:
    """Print recipes as a table, one a line."""
    rows = [("recipe", "GB", "missing", "gate", "models")]
    for one in described:
        sizes = (f"{one['download_gb']:.1f}", f"{one['missing_gb']:.1f}")
        rows.append((one["name"], *sizes, ", ".join(one["gates"]) or "none", one["title"]))
    _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print columns; lines are not broken, because specs are there to be copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    memory = facts["memory_gb"]
    on_cpu = "a CPU would take too long" if memory["cpu"] is None else f"{memory['cpu']:g} GB on a CPU"
    gates = [
        f"{repo}: ask for access at https://huggingface.co/{repo}, then log in (`hf auth login`)"
        for repo in facts["gates"]
    ]
    return [
        ("download", f"{facts['download_gb']:.2f} GB, of which {facts['missing_gb']:.2f} GB are not here"),
        ("memory", f"about {memory['gpu']:g} GB of a GPU; {on_cpu}"),
        ("gates", "; ".join(gates) or "none: open to all"),
        ("measured", facts["measured"]),
        ("never measured", facts["never_measured"]),
    ]
