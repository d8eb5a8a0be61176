"""``fmbseg labels``: inspect, check, export and import the labels that ``fmbseg label`` wrote."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.labels_compare import compare
from fmbseg.cli.labels_export import export_labels, push
from fmbseg.cli.labels_status import status
from fmbseg.cli.options import (
    ChosenMasks,
    Classes,
    Labels,
    OutFolder,
    OutPlace,
    VocabularyName,
    with_options,
    words,
)
from fmbseg.cli.streams import print_table

if TYPE_CHECKING:
    from fmbseg.labels.statistics import Statistics

app = typer.Typer(no_args_is_help=True, help="Inspect, check, export and import labels.")
app.command("export")(export_labels)
app.command()(push)
app.command()(compare)
app.command()(status)
_SHEET = "contact sheet"


class Repeated(str, Enum):
    """What a photograph in two label sets means."""

    REFUSE = "refuse"
    FIRST = "first"


@app.command()
@with_options(ChosenMasks)
def stats(
    folder: Labels,
    *,
    asked: ChosenMasks,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Count photographs, classes, and masks by class and stage."""
    from json import dumps

    found = asked.of(folder).statistics()
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))  # in ASCII, which no terminal takes for commands
    else:
        _print_statistics(folder, found)


@app.command()
def verify(
    folder: Labels,
    photographs: Annotated[
        bool, typer.Option("--photographs", help="Also compare every photograph with its recorded hash.")
    ] = False,
) -> None:
    """Check every shard and every record of a label set; exit code 1 if anything is wrong."""
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.labels.verification import verify as check

    problems = check(folder, photographs=photographs)
    for problem in problems:
        complain(problem, "wrong")
    if problems:
        raise typer.Exit(1)
    labels = LabelSet(folder)
    typer.echo(f"{folder}: all is well; {len(labels)} photographs labelled, {len(labels.errors)} not")


@app.command("import")
def import_labels(
    annotations: Annotated[Path, typer.Argument(help="A COCO JSON file.")],
    photographs: Annotated[Path, typer.Option(help="Folder of the photographs.")],
    out: OutFolder,
    classes: Classes = None,
    vocabulary: VocabularyName = None,
) -> None:
    """Import corrected labels from COCO JSON as a label set that a head can be trained on."""
    from fmbseg.cli.label import summary
    from fmbseg.labels.formats.coco_import import import_coco

    given = None if classes is None and vocabulary is None else words(classes, vocabulary)
    labels = import_coco(annotations, photographs, out, vocabulary=given)
    typer.echo(summary(labels))
    for failure in labels.errors:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")


@app.command()
@with_options(ChosenMasks)
def show(
    folder: Labels,
    out: Annotated[Path, typer.Option(help="Picture to write: .jpg or .png.")],
    count: Annotated[
        int, typer.Option(help="Largest number of photographs, spread over the whole set.")
    ] = 24,
    columns: Annotated[int, typer.Option(help="Photographs per row.")] = 4,
    *,
    asked: ChosenMasks,
) -> None:
    """Draw a contact sheet: photographs with their masks and classes."""
    from fmbseg.labels.sheets import contact_sheet
    from fmbseg.written import check_single, single_file

    if out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise typer.BadParameter(f"--out must end in .jpg or .png, not {out.name!r}")
    check_single(out, _SHEET)  # before the photographs are read
    labels = asked.of(folder)
    sheet = contact_sheet(labels, count=count, columns=columns)
    with single_file(out, _SHEET) as temporary:
        sheet.save(temporary)
    typer.echo(f"{out}: {min(count, len(labels))} of {len(labels)} photographs")


@app.command()
def merge(
    folders: Annotated[
        list[str], typer.Argument(help="Folders or URIs of label sets, or of the parts of one.")
    ],
    out: OutPlace,
    repeated: Annotated[
        Repeated,
        typer.Option(help="A photograph in two of the sets is refused, or taken from the first that has it."),
    ] = Repeated.REFUSE,
) -> None:
    """Join the parts of one run (`fmbseg label --part`), or several label sets, into one.

    Parts become the label set that one run would have written, equal to the last byte.
    """
    from fmbseg.cli.label import summary
    from fmbseg.labels.joined import are_parts, join
    from fmbseg.labels.label_set import LabelSet, save
    from fmbseg.labels.merged import merge as merged

    if are_parts(folders):
        labels = join(folders, out)
    else:
        labels = save(merged(*map(LabelSet, folders), repeated=repeated.value), out)
    typer.echo(summary(labels))


def _print_statistics(folder: str, found: "Statistics") -> None:
    from rich.markup import escape
    from rich.table import Table

    from fmbseg.escaping import terminal

    typer.echo(
        f"{folder}: {found.photographs} photographs, {found.without_class} without a class, "
        f"{found.without_mask} without a mask; kept masks cover {found.coverage:.1%}, "
        f"{found.unknown:.1%} is unknown"
    )
    numbers = ("photographs", "masks", "kept", "area", "predicted IoU", "similarity")
    table = Table("class", "stage", box=None, pad_edge=False)
    for title in numbers:
        table.add_column(title, justify="right")
    for name, detected in found.detected.items():
        table.add_row(escape(terminal(name)), "", str(detected), *[""] * (len(numbers) - 1))
        for stage, one in found.masks.get(name, {}).items():
            means = (f"{value:.3f}" for value in (one.area, one.predicted_iou, one.similarity))
            table.add_row("", stage, str(one.photographs), str(one.masks), str(one.kept), *means)
    table.add_row("unknown", "", str(found.with_unknown), "", "", f"{found.unknown:.3f}")
    print_table(table)
