"""How the command line shows recipes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import torch

    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe


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
