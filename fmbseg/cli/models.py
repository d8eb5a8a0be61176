"""``fmbseg models``: which frozen models there are, what they lack here, and fetching what can be fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.recipes import RECIPES, get_recipe
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.models.catalog import Role

app = typer.Typer(no_args_is_help=True, help="List the frozen models and fetch their weights.")


@app.command("list")
def list_models() -> None:
    """List every model: its name, role and licence, and whether it can run here."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "model", "role", "licence", "here", box=None, pad_edge=False)
    remedies = []
    for name, title, role, licence, lacks in _rows():
        table.add_row(name, title, role, licence, "missing" if lacks else "ready")
        if lacks:
            remedies.append(f"{name}: {lacks}")
    Console().print(table)
    for line in remedies:
        typer.echo(f"\n{line}")
    typer.echo(f"\nRecipes: {', '.join(RECIPES)}. `fmbseg models fetch RECIPE` fetches what one needs.")


@app.command("fetch")
def fetch(recipe: Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")]) -> None:
    """Fetch the weights of a recipe's three models and check them; exit code 1 if one cannot run here."""
    from fmbseg.models.catalog import find_card

    try:
        chosen = get_recipe(recipe)
    except UnknownNameError as error:
        raise typer.BadParameter(str(error)) from error
    parts: list[tuple[Role, str]] = [
        ("image-text encoder", chosen.image_text),
        ("mask generator", chosen.mask_generator),
        ("backbone", chosen.backbone),
    ]
    complete = True
    for role, spec in parts:
        card = find_card(role, spec)
        lacks = card.lacks(fetch=True) if card else None
        typer.echo(f"{role} {spec}: {lacks or 'ready'}", err=lacks is not None)
        complete = complete and lacks is None
    if not complete:
        raise typer.Exit(1)


def _rows() -> Iterator[tuple[str, str, str, str, str | None]]:
    """Yield name, title, role, licence and what it lacks of each model, those of other packages included."""
    from fmbseg.models.catalog import find_card
    from fmbseg.models.registries import BACKBONES, IMAGE_TEXT, MASK_GENERATORS

    registries: list[tuple[Role, list[str]]] = [
        ("image-text encoder", IMAGE_TEXT.names()),
        ("mask generator", MASK_GENERATORS.names()),
        ("backbone", BACKBONES.names()),
    ]
    for role, names in registries:
        for name in names:
            card = find_card(role, name)
            if card is None:
                yield name, "of another package", role, "see there", None
            else:
                yield name, card.title, role, card.license, card.lacks()
