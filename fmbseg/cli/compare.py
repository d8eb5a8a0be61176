"""``fmbseg compare``: methods side by side on one data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.methods import load_methods, warn_of_words_of
from fmbseg.cli.options import DeviceName, OutFolder, Strict, with_hub_options

if TYPE_CHECKING:
    from fmbseg.evaluation.comparison import Comparison
    from fmbseg.models.loading.hub_files import HubOptions


@with_hub_options
def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            help="Two or more: a head (a folder, owner/name, an .onnx file), HEAD@RECIPE, "
            "dense:IMAGE_TEXT[@PROTOCOL], stage1:RECIPE[@1.1, 1.2, labels] or concept:MODEL; the others are "
            "compared with the first. With --merge: folders of runs."
        ),
    ],
    out: OutFolder,
    data: Annotated[str | None, typer.Option(help="Data set: voc21, coco_stuff171, folder, ...")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that holds the data set.")] = None,
    protocol: Annotated[str, typer.Option(help="Protocol: paper, own, tcl or tcl-pamr.")] = "paper",
    split: Annotated[
        str | None, typer.Option(help="Split of the data set; by default the usual one.")
    ] = None,
    names: Annotated[
        str,
        typer.Option(help="Class names: raw, clean, or a file of words in the set's order."),
    ] = "raw",
    shard: Annotated[str | None, typer.Option(help="Measure one shard: 1/2 is the first of two.")] = None,
    limit: Annotated[int | None, typer.Option(help="Measure only the first N images.")] = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Number of images to show, those that differ most.")
    ] = 6,
    merge: Annotated[bool, typer.Option("--merge", help="Join the runs of all shards.")] = False,
    strict: Strict = False,
    device: DeviceName = None,
    *,
    hub: "HubOptions",
) -> None:
    """Measure methods in one pass; write OUT/comparison.json, .md and .html, with where they differ most."""
    if merge:
        from fmbseg.evaluation.compare import merge_comparisons

        _tell(merge_comparisons(methods, out, pictures=pictures), out)
        return
    if data is None or root is None:
        raise typer.BadParameter("give the data set with --data and its folder with --root")
    from fmbseg.evaluation.compare import check_comparison
    from fmbseg.evaluation.compare import compare as measure
    from fmbseg.evaluation.datasets import open_data
    from fmbseg.evaluation.evaluate import Shard
    from fmbseg.evaluation.protocols import get_protocol

    found, how = open_data(data, root, split=split), get_protocol(protocol)
    part = None if shard is None else Shard.of(shard)
    # All that can be wrong comes before the models.
    check_comparison(methods, found, how, out=out, names=names, shard=part, limit=limit)
    lacking: dict[str, str] = {}

    def without(spec: str, error: Exception) -> None:
        lacking[spec] = " ".join(str(error).split())
        complain(f"{spec}: {error}; the others are compared without it", "left out")

    loaded = load_methods(methods, hub=hub, device=device, lacking=without)
    for one in loaded:
        warn_of_words_of(one, how.vocabulary(found, names))
    comparison = measure(
        loaded,
        found,
        how,
        out=out,
        names=names,
        shard=part,
        limit=limit,
        pictures=pictures,
        lacking=lacking,
        progress=True,
    )
    _tell(comparison, out)
    if found.passed_over:
        complain(found.passed_over, "warning")
    if strict and (comparison.first.failures or found.passed_over or lacking):
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
