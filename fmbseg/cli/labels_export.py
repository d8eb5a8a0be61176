"""``fmbseg labels export`` and ``push``: labels for other tools and for the Hub."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import Branch, ChosenMasks, Folder, Private, Token, with_options

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.formats.exported import Exported


class Format(str, Enum):
    """What labels can be exported to."""

    COCO = "coco"
    COCO_POLYGONS = "coco-polygons"
    YOLO = "yolo"
    PNG = "png"
    DATASETS = "datasets"


@with_options(ChosenMasks)
def export_labels(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder to write to; for COCO a file ending in .json.")],
    to: Annotated[Format, typer.Option(help="Format to write.")] = Format.COCO,
    *,
    asked: ChosenMasks,
    copy: Annotated[
        bool, typer.Option("--copy", help="YOLO: copy the photographs instead of linking to them.")
    ] = False,
    val: Annotated[
        float, typer.Option(help="YOLO: share of the photographs to set apart for validation.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="YOLO: seed for choosing those photographs.")] = 0,
) -> None:
    """Write labels for other tools: COCO JSON, YOLO, VOC's indexed PNG, Hugging Face datasets.

    A new export into the same folder replaces the previous one. Other files are never touched.
    """
    if (copy or val) and to is not Format.YOLO:
        raise typer.BadParameter("--copy and --val are for --to yolo only")
    if to in (Format.COCO, Format.COCO_POLYGONS) and out.suffix.lower() != ".json":
        raise typer.BadParameter(f"COCO is one file: --out must end in .json, not {out.name!r}")
    labels = asked.of(folder)
    if to is Format.YOLO:
        from fmbseg.labels.formats.yolo import export_yolo

        done = export_yolo(labels, out, copy=copy, val=val, seed=seed)
    else:
        done = _export(labels, out, to)
    typer.echo(done)


def _export(labels: "LabelCollection", out: Path, to: Format) -> "Exported":
    from fmbseg.labels.formats.coco_export import export_coco
    from fmbseg.labels.formats.hf_datasets import export_datasets
    from fmbseg.labels.formats.indexed_png import export_png

    if to is Format.PNG:
        return export_png(labels, out)
    if to is Format.DATASETS:
        return export_datasets(labels, out)
    return export_coco(labels, out, shape="rle" if to is Format.COCO else "polygons")


@with_options(ChosenMasks)
def push(
    folder: Folder,
    repo: Annotated[str, typer.Argument(help="owner/name of a data set on the Hub.")],
    private: Private = None,
    branch: Branch = None,
    token: Token = None,
    license: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="Licence of the photographs and labels, as the Hub names it.")
    ] = None,
    *,
    asked: ChosenMasks,
) -> None:
    """Push photographs and labels as a data set that `datasets.load_dataset` loads."""
    labels = asked.of(folder)
    typer.echo(labels.push_to_hub(repo, private=private, branch=branch, token=token, license=license))
