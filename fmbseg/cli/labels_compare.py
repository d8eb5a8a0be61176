"""``fmbseg labels compare``: two label sets of the same photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import ChosenMasks, Labels, with_options
from fmbseg.cli.streams import print_table

if TYPE_CHECKING:
    from fmbseg.labels.comparison import LabelComparison

_SHEET = "contact sheet"


@with_options(ChosenMasks)
def compare(
    folder: Labels,
    other: Annotated[str, typer.Argument(help="Folder or URI of the label set to compare it with.")],
    sheet: Annotated[
        Path | None, typer.Option(help="Picture of the most different photographs: .jpg or .png.")
    ] = None,
    count: Annotated[int, typer.Option(help="Photographs named as the most different, at most.")] = 12,
    *,
    asked: ChosenMasks,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare two label sets of the same photographs: another teacher, other settings, or corrected."""
    from json import dumps

    from fmbseg.labels.comparison import compare as compared
    from fmbseg.written import check_single

    if sheet is not None:
        if sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            raise typer.BadParameter(f"--sheet must end in .jpg or .png, not {sheet.name!r}")
        check_single(sheet, _SHEET)  # before the labels are read
    sets = [asked.of(each) for each in (folder, other)]
    found = compared(*sets, count=count)
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))  # in ASCII, which no terminal takes for commands
    else:
        print_comparison(folder, other, found)
    if sheet is None:
        return
    if not found.most_different:
        typer.echo("no sheet is drawn: the labels are the same", err=True)
        return
    from fmbseg.labels.sheets import comparison_sheet
    from fmbseg.written import single_file

    drawn = comparison_sheet(found, sets[0])
    with single_file(sheet, _SHEET) as temporary:
        drawn.save(temporary)


def print_comparison(first: str, second: str, found: "LabelComparison") -> None:
    """Tell how much two sets agree, by class and by photograph."""
    from rich.markup import escape
    from rich.table import Table

    from fmbseg.escaping import terminal

    alone = f"; {found.alone[0]} in {first} alone, {found.alone[1]} in {second} alone"
    typer.echo(
        f"{found.photographs} photographs in both{alone if any(found.alone) else ''}: "
        f"{found.agreement:.1%} of the labelled pixels agree, mIoU {found.miou:.3f}"
    )
    table = Table("class", box=None, pad_edge=False)
    for title in ("IoU", "pixels (first)", "pixels (second)", "photographs (first)", "photographs (second)"):
        table.add_column(title, justify="right")
    for name, one in found.classes.items():
        table.add_row(
            escape(terminal(name)), f"{one.iou:.3f}", *map(str, one.pixels), *map(str, one.photographs)
        )
    print_table(table)
    for photograph in found.most_different:
        typer.echo(f"{photograph.agreement:.1%} agree: {terminal(photograph.first.path)}")
