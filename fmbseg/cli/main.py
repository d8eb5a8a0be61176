"""``fmbseg``: the command line. Nothing heavy is imported before a command runs."""

from typing import Annotated

import typer

import fmbseg
from fmbseg.cli import labels, models, review
from fmbseg.cli.app import app as open_page
from fmbseg.cli.calibrate import calibrate
from fmbseg.cli.compare import compare
from fmbseg.cli.demo import demo
from fmbseg.cli.eval import evaluate
from fmbseg.cli.fit import fit
from fmbseg.cli.friendly import FriendlyGroup
from fmbseg.cli.label import label
from fmbseg.cli.reproduce import reproduce
from fmbseg.cli.segment import segment
from fmbseg.cli.share import export, pull, push
from fmbseg.cli.streams import any_streams
from fmbseg.cli.words import show_words

app = typer.Typer(
    name="fmbseg",
    cls=FriendlyGroup,
    help="Segment images with any words, without human labels: label photographs, fit a head, segment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, label, fit, calibrate, segment, export, push, pull):
    app.command()(command)
app.command("eval")(evaluate)
app.command()(compare)
app.command("app")(open_page)
app.command()(reproduce)
app.command("words")(show_words)
app.add_typer(models.app, name="models")
app.add_typer(labels.app, name="labels")
app.add_typer(review.app, name="review")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fmbseg {fmbseg.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    """Options before the command; FriendlyGroup reads ``debug``."""
    del version, debug


def main() -> None:
    """Run the command line."""
    with any_streams():
        app()
