"""``fmbseg labels``: look at, check, hand on and take back the labels that ``fmbseg label`` wrote."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import Branch, Classes, OutFolder, Private, Token, VocabularyName, words

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.statistics import Statistics

app = typer.Typer(no_args_is_help=True, help="Look at labels, check them, export and import them.")


class Format(str, Enum):
    """What labels can be exported to."""

    COCO = "coco"
    COCO_POLYGONS = "coco-polygons"
    YOLO = "yolo"
    PNG = "png"
    DATASETS = "datasets"


class Stage(str, Enum):
    """Which masks are taken."""

    POINTS = "1.1"
    EVERYTHING = "1.2"
    HAND = "hand"


Folder = Annotated[Path, typer.Argument(help="Folder that `fmbseg label` or `fmbseg labels import` wrote.")]
Stages = Annotated[list[Stage] | None, typer.Option("--stage", help="Masks of this stage only; may repeat.")]
MinIou = Annotated[float, typer.Option("--min-predicted-iou", help="Masks of at least this estimate.")]
MinSimilarity = Annotated[
    float, typer.Option("--min-similarity", help="Masks at least this like their class.")
]


@app.command()
def stats(
    folder: Folder,
    stage: Stages = None,
    min_predicted_iou: MinIou = 0.0,
    min_similarity: MinSimilarity = -1.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Count photographs, classes, and masks by class and stage."""
    from json import dumps

    found = _chosen(folder, stage, min_predicted_iou, min_similarity).statistics()
    if json:
        typer.echo(dumps(found.to_dict(), ensure_ascii=False, indent=2))
    else:
        _print_statistics(folder, found)


@app.command()
def verify(
    folder: Folder,
    photographs: Annotated[
        bool, typer.Option("--photographs", help="Also compare every photograph with its hash.")
    ] = False,
) -> None:
    """Check every shard against the manifest, and every record; exit code 1 if anything is wrong."""
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.labels.verification import verify as check

    problems = check(folder, photographs=photographs)
    for problem in problems:
        complain(problem, "wrong")
    if problems:
        raise typer.Exit(1)
    labels = LabelSet(folder)
    typer.echo(f"{folder}: all is well; {len(labels)} photographs labelled, {len(labels.errors)} not")


@app.command("export")
def export_labels(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder to write to; for COCO a file that ends in .json.")],
    to: Annotated[Format, typer.Option(help="Format to write.")] = Format.COCO,
    stage: Stages = None,
    min_predicted_iou: MinIou = 0.0,
    min_similarity: MinSimilarity = -1.0,
) -> None:
    """Write labels for other tools: COCO JSON, YOLO, VOC's indexed PNG, Hugging Face datasets."""
    from fmbseg.labels.formats.coco_export import export_coco
    from fmbseg.labels.formats.hf_datasets import export_datasets
    from fmbseg.labels.formats.indexed_png import export_png
    from fmbseg.labels.formats.yolo import export_yolo

    labels = _chosen(folder, stage, min_predicted_iou, min_similarity)
    if to in (Format.COCO, Format.COCO_POLYGONS):
        if out.suffix.lower() != ".json":
            raise typer.BadParameter(f"COCO is one file: --out must end in .json, not {out.name!r}")
        written = export_coco(labels, out, shape="rle" if to is Format.COCO else "polygons")
    elif to is Format.YOLO:
        written = export_yolo(labels, out)
    elif to is Format.PNG:
        written = export_png(labels, out)
    else:
        written = export_datasets(labels, out)
    typer.echo(f"{written}: {len(labels)} photographs")


@app.command()
def push(
    folder: Folder,
    repo: Annotated[str, typer.Argument(help="owner/name of a data set on the Hub.")],
    private: Private = None,
    branch: Branch = None,
    token: Token = None,
    license: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="Licence of the photographs and labels, as the Hub names it.")
    ] = None,
    stage: Stages = None,
    min_predicted_iou: MinIou = 0.0,
    min_similarity: MinSimilarity = -1.0,
) -> None:
    """Push photographs and labels as a data set that `datasets.load_dataset` loads."""
    labels = _chosen(folder, stage, min_predicted_iou, min_similarity)
    typer.echo(labels.push_to_hub(repo, private=private, branch=branch, token=token, license=license))


@app.command("import")
def import_labels(
    annotations: Annotated[Path, typer.Argument(help="A COCO JSON file.")],
    photographs: Annotated[Path, typer.Option(help="Folder of the photographs.")],
    out: OutFolder,
    classes: Classes = None,
    vocabulary: VocabularyName = None,
) -> None:
    """Read labels that people corrected, from COCO JSON; the result trains a head like any other."""
    from fmbseg.cli.label import summary
    from fmbseg.labels.formats.coco_import import import_coco

    given = None if classes is None and vocabulary is None else words(classes, vocabulary)
    labels = import_coco(annotations, photographs, out, vocabulary=given)
    typer.echo(summary(labels))
    for failure in labels.errors:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")


@app.command()
def show(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Picture to write: .jpg or .png.")],
    count: Annotated[int, typer.Option(help="Photographs at most, spread over the whole set.")] = 24,
    columns: Annotated[int, typer.Option(help="Photographs a row.")] = 4,
    stage: Stages = None,
    min_predicted_iou: MinIou = 0.0,
    min_similarity: MinSimilarity = -1.0,
) -> None:
    """Draw a contact sheet: photographs with their masks and classes."""
    from fmbseg.labels.contact_sheet import contact_sheet

    if out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise typer.BadParameter(f"--out must end in .jpg or .png, not {out.name!r}")
    labels = _chosen(folder, stage, min_predicted_iou, min_similarity)
    sheet = contact_sheet(labels, count=count, columns=columns)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    typer.echo(f"{out}: {min(count, len(labels))} of {len(labels)} photographs")


def _chosen(
    folder: Path, stages: list[Stage] | None, min_predicted_iou: float, min_similarity: float
) -> LabelCollection:
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.labels.record import STAGES

    labels = LabelSet(folder)
    if not stages and min_predicted_iou <= 0 and min_similarity <= -1:
        return labels
    wanted = None if not stages else [number for number, name in STAGES.items() if Stage(name) in stages]
    return labels.filter(stages=wanted, min_predicted_iou=min_predicted_iou, min_similarity=min_similarity)


def _print_statistics(folder: Path, found: Statistics) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    typer.echo(
        f"{folder}: {found.photographs} photographs, {found.without_class} without a class, "
        f"{found.without_mask} without a mask; kept masks cover {found.coverage:.1%}"
    )
    numbers = ("photographs", "masks", "kept", "area", "predicted IoU", "similarity")
    table = Table("class", "stage", box=None, pad_edge=False)
    for title in numbers:
        table.add_column(title, justify="right")
    for name, detected in found.detected.items():
        table.add_row(escape(name), "", str(detected), *[""] * (len(numbers) - 1))
        for stage, one in found.masks.get(name, {}).items():
            means = (f"{value:.3f}" for value in (one.area, one.predicted_iou, one.similarity))
            table.add_row("", stage, str(one.photographs), str(one.masks), str(one.kept), *means)
    Console().print(table)
