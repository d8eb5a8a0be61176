"""``fmbseg``: the command line. Nothing heavy is imported before a command runs."""

from typing import Annotated, ClassVar

import typer

import fmbseg
from fmbseg.cli.lazy import Lazy, LazyGroup
from fmbseg.cli.streams import any_streams


class Commands(LazyGroup):
    """The commands, in the order of the help."""

    lazy: ClassVar = {
        "demo": Lazy(
            "fmbseg.cli.demo:demo",
            "Label, fit and segment real photographs, then write OUT/report.html and OUT/metrics.json.",
        ),
        "label": Lazy(
            "fmbseg.cli.label:label",
            "Label photographs without human annotation (Stage 1); a stopped run continues where it stopped.",
        ),
        "fit": Lazy(
            "fmbseg.cli.fit:fit",
            "Train a head on pseudo labels (Stage 2); unset options come from the recipe, or from --start.",
        ),
        "calibrate": Lazy(
            "fmbseg.cli.calibrate:calibrate",
            "Find out from your own photographs, without labels, how certain a head is, and what to leave "
            "blank.",
        ),
        "segment": Lazy(
            "fmbseg.cli.segment:segment",
            "Segment images with any words; writes a class map (PNG) and an overlay of each and prints one "
            "line.",
        ),
        "export": Lazy(
            "fmbseg.cli.share:export",
            "Export a head and its backbone as one file; an ONNX file is checked against PyTorch.",
        ),
        "push": Lazy(
            "fmbseg.cli.share:push",
            "Push a head and its model card: the folder's README.md, unless options of the card are given.",
        ),
        "pull": Lazy(
            "fmbseg.cli.share:pull", "Fetch a head, check it, and print its folder; no code in it is run."
        ),
        "eval": Lazy(
            "fmbseg.cli.eval:evaluate",
            "Measure a method and write OUT/report.json, .md and .html, with the worst and best images.",
        ),
        "compare": Lazy(
            "fmbseg.cli.compare:compare",
            "Measure methods in one pass; write OUT/comparison.json, .md and .html; and where they part.",
        ),
        "app": Lazy(
            "fmbseg.cli.app:app",
            "Open a page in the browser that segments, labels, corrects and trains; on this machine alone.",
        ),
        "reproduce": Lazy(
            "fmbseg.cli.reproduce:reproduce",
            "Label COCO-Stuff, fit a head and measure it on seven sets: the paper's Table 1, or an ablation.",
        ),
        "words": Lazy(
            "fmbseg.cli.words:show_words",
            "Show how well the image-text model knows each word, the nearest that it knows, and words alike.",
        ),
        "models": Lazy("fmbseg.cli.models:app", "List the frozen models and fetch their weights."),
        "labels": Lazy("fmbseg.cli.labels:app", "Inspect, check, export and import labels."),
        "review": Lazy("fmbseg.cli.review:app", "Labels that people correct on the page of `fmbseg app`."),
    }


app = typer.Typer(
    name="fmbseg",
    cls=Commands,
    help="Segment images with any words, without human labels: label photographs, fit a head, segment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
