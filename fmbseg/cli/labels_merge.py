"""``fmbseg labels merge``: parts of one run, or several label sets, as one."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from fmbseg.cli.options import OutFolder


class Repeated(str, Enum):
    """What a photograph in two label sets means."""

    REFUSE = "refuse"
    FIRST = "first"


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of label sets, or of the parts of one.")],
    out: OutFolder,
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
