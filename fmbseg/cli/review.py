"""``fmbseg review``: how far people are with correcting a label set, and a label set of the result."""

from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import Labels, OutPlace
from fmbseg.cli.streams import print_table

if TYPE_CHECKING:
    from fmbseg.review.status import ReviewStatus

app = typer.Typer(no_args_is_help=True, help="Labels that people correct on the page of `fmbseg app`.")


@app.command()
def status(
    folder: Labels,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tell what is done and what is left, and where people and models agreed, class by class."""
    from json import dumps

    from fmbseg.labels.label_set import LabelSet
    from fmbseg.review.status import ReviewStatus

    labels = LabelSet(folder)
    found = ReviewStatus.of(labels.layer, len(labels))
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))
    else:
        typer.echo(f"{folder}: {found}")
        _print_classes(found)


@app.command()
def bake(folder: Labels, out: OutPlace) -> None:
    """Write a label set with the corrections in it, which needs its journal of decisions no more.

    `fit`, `export`, `stats` and all else read corrections all the same; this is for giving labels away.
    """
    from fmbseg.cli.label import summary
    from fmbseg.labels.label_set import LabelSet, save

    typer.echo(summary(save(LabelSet(folder), out)))


def _print_classes(found: "ReviewStatus") -> None:
    from rich.markup import escape
    from rich.table import Table

    from fmbseg.escaping import terminal

    if found.reviewers:
        typer.echo("decisions: " + ", ".join(f"{name} {count}" for name, count in found.reviewers.items()))
    if not found.classes:
        return
    table = Table("class of the models", box=None, pad_edge=False)
    for title in ("judged", "right", "renamed", "wrong", "agreement", "drawn"):
        table.add_column(title, justify="right")
    for name, one in found.classes.items():
        share = "" if one.agreement is None else f"{one.agreement:.0%}"
        counts = (one.judged, one.accepted, one.renamed, one.rejected)
        table.add_row(escape(terminal(name)), *map(str, counts), share, str(one.drawn))
    print_table(table)
