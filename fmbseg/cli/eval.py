"""``fmbseg eval``: measure a method on a data set, join shards, and compare runs with the paper's table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.heads import load_segmenter
from fmbseg.cli.methods import load_methods, warn_of_words_of
from fmbseg.cli.options import DeviceName, Strict, with_hub_options

if TYPE_CHECKING:
    from fmbseg.evaluation.report import EvaluationReport
    from fmbseg.models.loading.hub_files import HubOptions


@with_hub_options
def evaluate(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="The method: a head (a folder, owner/name, an .onnx file), HEAD@RECIPE, dense:IMAGE_TEXT, "
            "stage1:RECIPE or concept:MODEL. With --table or --merge: folders of runs."
        ),
    ],
    data: Annotated[str | None, typer.Option(help="Data set: voc21, coco_stuff171, folder, ...")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that holds the data set.")] = None,
    protocol: Annotated[str, typer.Option(help="Protocol: paper, own, tcl or tcl-pamr.")] = "paper",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; a stopped run continues there.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the data set; by default the usual one.")
    ] = None,
    names: Annotated[
        str,
        typer.Option(help="Class names: raw, clean, or a file of words in the set's order."),
    ] = "raw",
    shard: Annotated[str | None, typer.Option(help="Measure one shard: 1/2 is the first of two.")] = None,
    limit: Annotated[int | None, typer.Option(help="Measure only the first N images.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Number of worst and of best images to show.")] = 4,
    merge: Annotated[bool, typer.Option("--merge", help="Join the runs of all shards.")] = False,
    table: Annotated[bool, typer.Option("--table", help="Compare runs with the paper's Table 1.")] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Compare the head's class maps with a label set, as a student with its teacher; --out is "
            "then a JSON file."
        ),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="With --against: also count pixels without a label.")
    ] = False,
    strict: Strict = False,
    device: DeviceName = None,
    *,
    hub: "HubOptions",
) -> None:
    """Measure a method and write OUT/report.json, .md and .html, with the worst and best images."""
    if merge + table + (against is not None) > 1:
        raise typer.BadParameter("give one of --merge, --table and --against")
    if against is not None:
        _against(paths, against, everywhere, out, hub, device)
        return
    if table:
        _table(paths, out)
        return
    if out is None:
        raise typer.BadParameter("give the run's folder with --out")
    left: object = ()
    if merge:
        from fmbseg.evaluation.evaluate import merge_runs

        report = merge_runs(paths, out, pictures=pictures)
    else:
        if data is None or root is None or len(paths) != 1:
            raise typer.BadParameter("give one method, the data set with --data and its folder with --root")
        from fmbseg.evaluation.datasets import open_data
        from fmbseg.evaluation.evaluate import Shard, check_evaluation
        from fmbseg.evaluation.evaluate import evaluate as measure
        from fmbseg.evaluation.protocols import get_protocol

        found, how = open_data(data, root, split=split), get_protocol(protocol)
        part = None if shard is None else Shard.of(shard)
        left = found.passed_over
        # All that can be wrong comes before the models.
        check_evaluation(found, how, out=out, names=names, shard=part, limit=limit)
        method = load_methods(paths, hub=hub, device=device)[0]
        warn_of_words_of(method, how.vocabulary(found, names))
        report = measure(
            method,
            found,
            how,
            out=out,
            names=names,
            shard=part,
            limit=limit,
            pictures=pictures,
            progress=True,
        )
    _tell(report, out)
    if left:
        complain(left, "warning")
    if strict and (report.failures or left):
        raise typer.Exit(1)


def _against(
    heads: list[str],
    folder: Path,
    everywhere: bool,
    out: Path | None,
    hub: "HubOptions",
    device: str | None,
) -> None:
    from fmbseg.cli.labels_compare import print_comparison
    from fmbseg.files import write_json
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.segmentation.against_labels import compare_with_labels
    from fmbseg.written import check_single, single_file

    if len(heads) != 1:
        raise typer.BadParameter("give one head, to compare it with --against LABELS")
    kind = "comparison"
    if out is not None:
        check_single(out, kind)
    labels = LabelSet(folder)
    segmenter = load_segmenter(heads[0], hub=hub, device=device)
    found = compare_with_labels(labels, segmenter, everywhere=everywhere)
    print_comparison(str(folder), heads[0], found)
    if out is not None:
        with single_file(out, kind) as path:
            write_json(path, found.to_dict())


def _table(runs: list[str], out: Path | None) -> None:
    from fmbseg.evaluation.table import table
    from fmbseg.files import encode
    from fmbseg.written import check_single, single_file

    kind = "table of runs"
    if out is not None:
        check_single(out, kind)
    text = table(runs)
    typer.echo(text)
    if out is not None:
        with single_file(out, kind) as path:
            path.write_bytes(encode(text))


def _tell(report: "EvaluationReport", out: Path) -> None:
    from fmbseg.evaluation.report import percent, told_interval

    for failure in report.failures:
        complain(f"{failure['key']}: {failure['error']}", "not measured")
    figures, ends = report.figures, report.intervals.get("miou")
    told = f" (90 %: {told_interval(ends)})" if ends else ""
    typer.echo(
        f"{report.title()}: mIoU {percent(figures['miou'])}{told}, pixel accuracy "
        f"{percent(figures['pixel_accuracy'])}, {report.measured} images ({len(report.failures)} failed)\n"
        f"{out / 'report.html'}: the report"
    )
