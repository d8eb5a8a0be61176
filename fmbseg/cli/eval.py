"""``fmbseg eval``: measure a method on a data set, join parts, and compare runs with the paper's table."""

import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.engine_options import EngineOptions
from fmbseg.cli.friendly import complain
from fmbseg.cli.heads import load_segmenter
from fmbseg.cli.methods import OnDataSet, load_methods, warn_of_words_of
from fmbseg.cli.options import with_hub_options, with_options

if TYPE_CHECKING:
    from fmbseg.evaluation.report import EvaluationReport
    from fmbseg.images import PassedOver
    from fmbseg.method import Method
    from fmbseg.models.loading.hub_files import HubOptions


@dataclass(frozen=True, kw_only=True)
class EvalOptions(OnDataSet, EngineOptions):
    """What ``fmbseg eval`` takes."""

    paths: Annotated[
        list[str],
        typer.Argument(
            help="The method: a head (a folder, owner/name, an .onnx file), HEAD@RECIPE, dense:IMAGE_TEXT, "
            "stage1:RECIPE or concept:MODEL. With --table or --merge: folders of runs."
        ),
    ]
    out: Annotated[Path | None, typer.Option(help="Folder of the run; a stopped run continues there.")] = None
    pictures: Annotated[int, typer.Option(min=0, help="Number of worst and of best images to show.")] = 4
    table: Annotated[bool, typer.Option("--table", help="Compare runs with the paper's Table 1.")] = False
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare the head's class maps with a label set, as a student with its teacher; --out is "
            "then a JSON file."
        ),
    ] = None
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="With --against: also count pixels without a label.")
    ] = False


@with_hub_options
@with_options(EvalOptions)
def evaluate(asked: EvalOptions, *, hub: "HubOptions") -> None:
    """Measure a method and write OUT/report.json, .md and .html, with the worst and best images."""
    if asked.merge + asked.table + (asked.against is not None) > 1:
        raise typer.BadParameter("give one of --merge, --table and --against")
    if asked.against is not None:
        _against(asked, asked.against, hub)
    elif asked.table:
        _table(asked.paths, asked.out)
    else:
        _report(asked, hub)


def _report(asked: EvalOptions, hub: "HubOptions") -> None:
    """Measure, or join what was measured, and tell the figures."""
    if asked.out is None:
        raise typer.BadParameter("give the run's folder with --out")
    left: object = ()
    if asked.merge:
        from fmbseg.evaluation.evaluate import merge_runs

        report = merge_runs(asked.paths, asked.out, pictures=asked.pictures)
    else:
        report, left = _measured(asked, asked.out, hub)
    _tell(report, asked.out)
    if left:
        complain(left, "warning")
    if asked.strict and (report.failures or left):
        raise typer.Exit(1)


def _measured(asked: EvalOptions, out: Path, hub: "HubOptions") -> "tuple[EvaluationReport, PassedOver]":
    if asked.data is None or asked.root is None or len(asked.paths) != 1:
        raise typer.BadParameter("give one method, the data set with --data and its folder with --root")
    from fmbseg.evaluation.datasets import open_data
    from fmbseg.evaluation.evaluate import check_evaluation
    from fmbseg.evaluation.evaluate import evaluate as measure
    from fmbseg.evaluation.protocols import get_protocol

    data, protocol = open_data(asked.data, asked.root, split=asked.split), get_protocol(asked.protocol)
    part = asked.own_part()
    # All that can be wrong comes before the models.
    check_evaluation(data, protocol, out=out, names=asked.names, part=part, limit=asked.limit)
    engine = asked.chosen_engine()
    if engine is not None:
        from fmbseg.evaluation.on_engine import evaluate_on

        make = partial(_method, asked.paths[0], hub, asked.device)
        return evaluate_on(
            engine,
            make,
            data,
            protocol,
            out=out,
            names=asked.names,
            part=part,
            limit=asked.limit,
            pictures=asked.pictures,
            device=asked.device,
            progress=True,
        ), data.passed_over
    method = load_methods(asked.paths, hub=hub, device=asked.device)[0]
    warn_of_words_of(method, protocol.vocabulary(data, asked.names))
    report = measure(
        method,
        data,
        protocol,
        out=out,
        names=asked.names,
        part=part,
        limit=asked.limit,
        pictures=asked.pictures,
        progress=True,
    )
    return report, data.passed_over


def _method(spec: str, hub: "HubOptions", device: str | None) -> "Method":
    """Load a method on a worker, where nobody reads what is said of it."""
    with redirect_stderr(io.StringIO()):
        return load_methods([spec], hub=hub, device=device)[0]


def _against(asked: EvalOptions, folder: str, hub: "HubOptions") -> None:
    from fmbseg.cli.labels_compare import print_comparison
    from fmbseg.files import write_json
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.segmentation.against_labels import compare_with_labels
    from fmbseg.written import check_single, single_file

    if len(asked.paths) != 1:
        raise typer.BadParameter("give one head, to compare it with --against LABELS")
    kind, head = "comparison", asked.paths[0]
    if asked.out is not None:
        check_single(asked.out, kind)
    labels = LabelSet(folder)
    segmenter = load_segmenter(head, hub=hub, device=asked.device)
    found = compare_with_labels(labels, segmenter, everywhere=asked.everywhere)
    print_comparison(folder, head, found)
    if asked.out is not None:
        with single_file(asked.out, kind) as path:
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
