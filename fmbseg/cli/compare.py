"""``fmbseg compare``: methods side by side on one data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.methods import OnDataSet, load_methods, warn_of_words_of
from fmbseg.cli.options import OutFolder, with_hub_options, with_options

if TYPE_CHECKING:
    from fmbseg.evaluation.comparison import Comparison
    from fmbseg.models.loading.hub_files import HubOptions


@dataclass(frozen=True, kw_only=True)
class CompareOptions(OnDataSet):
    """What ``fmbseg compare`` takes."""

    methods: Annotated[
        list[str],
        typer.Argument(
            help="Two or more: a head (a folder, owner/name, an .onnx file), HEAD@RECIPE, "
            "dense:IMAGE_TEXT[@PROTOCOL], stage1:RECIPE[@1.1, 1.2, labels] or concept:MODEL; the others are "
            "compared with the first. With --merge: folders of runs."
        ),
    ]
    out: OutFolder
    pictures: Annotated[
        int, typer.Option(min=0, help="Images to show: those where one method is furthest ahead of another.")
    ] = 6


@with_hub_options
@with_options(CompareOptions)
def compare(asked: CompareOptions, *, hub: "HubOptions") -> None:
    """Measure methods in one pass; write OUT/comparison.json, .md and .html; and where they part."""
    if asked.merge:
        from fmbseg.evaluation.compare import merge_comparisons

        _tell(merge_comparisons(asked.methods, asked.out, pictures=asked.pictures), asked.out)
    else:
        _compare(asked, hub)


def _compare(asked: CompareOptions, hub: "HubOptions") -> None:
    if asked.data is None or asked.root is None:
        raise typer.BadParameter("give the data set with --data and its folder with --root")
    from fmbseg.evaluation.compare import check_comparison
    from fmbseg.evaluation.compare import compare as measure
    from fmbseg.evaluation.datasets import open_data
    from fmbseg.evaluation.protocols import get_protocol

    data, protocol = open_data(asked.data, asked.root, split=asked.split), get_protocol(asked.protocol)
    part = asked.own_part()
    # All that can be wrong comes before the models.
    check_comparison(
        asked.methods, data, protocol, out=asked.out, names=asked.names, part=part, limit=asked.limit
    )
    lacking: dict[str, str] = {}

    def without(spec: str, error: Exception) -> None:
        lacking[spec] = " ".join(str(error).split())
        complain(f"{spec}: {error}; the others are compared without it", "left out")

    methods = load_methods(asked.methods, hub=hub, device=asked.device, lacking=without)
    for method in methods:
        warn_of_words_of(method, protocol.vocabulary(data, asked.names))
    comparison = measure(
        methods,
        data,
        protocol,
        out=asked.out,
        names=asked.names,
        part=part,
        limit=asked.limit,
        pictures=asked.pictures,
        lacking=lacking,
        progress=True,
    )
    _tell(comparison, asked.out)
    if data.passed_over:
        complain(data.passed_over, "warning")
    if asked.strict and (comparison.first.failures or data.passed_over or lacking):
        raise typer.Exit(1)


def _tell(comparison: "Comparison", out: Path) -> None:
    from fmbseg.escaping import terminal

    for failure in comparison.first.failures:
        complain(f"{failure['key']}: {failure['error']}", "not measured")
    rows: list[tuple[str, ...]] = [("method", "mIoU", "90 %", "over the first", "s/image")]
    rows += [(row[0], *row[1:4], row[8]) for row in comparison.rows()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{terminal(cell):<{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    typer.echo(f"{out / 'comparison.html'}: the report")
