"""``fmbseg labels export`` and ``push``: labels for other tools and for the Hub."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import Branch, ChosenMasks, Labels, Private, Token, with_options

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.formats.coco_export import Shape
    from fmbseg.labels.formats.exported import Exported


class Format(str, Enum):
    """What labels can be exported to."""

    COCO = "coco"
    COCO_POLYGONS = "coco-polygons"
    LABEL_STUDIO = "label-studio"
    LABEL_STUDIO_POLYGONS = "label-studio-polygons"
    YOLO = "yolo"
    PNG = "png"
    DATASETS = "datasets"


_COCO = (Format.COCO, Format.COCO_POLYGONS)
_WITH_POLYGONS = (Format.COCO_POLYGONS, Format.LABEL_STUDIO_POLYGONS, Format.YOLO)
_WITH_PHOTOGRAPHS = (*_COCO, Format.LABEL_STUDIO, Format.LABEL_STUDIO_POLYGONS, Format.YOLO)


@dataclass(frozen=True)
class ExportOptions:
    """What is written, and how."""

    stage_options: ChosenMasks
    to: Format
    out: Path
    regions: bool
    kept: bool
    min_area: float
    simplify: float
    copy: bool
    val: float
    seed: int

    def check(self) -> None:
        """Raise where the format cannot have what is asked for."""
        if self.copy and self.to not in _WITH_PHOTOGRAPHS:
            raise typer.BadParameter(f"--copy is not for --to {self.to.value}, which takes no photographs")
        if self.val and self.to not in (*_COCO, Format.YOLO):
            raise typer.BadParameter("--val is for --to coco, coco-polygons and yolo only")
        if self.simplify and self.to not in _WITH_POLYGONS:
            polygons = ", ".join(one.value for one in _WITH_POLYGONS)
            raise typer.BadParameter(f"--simplify is for polygons: --to {polygons}")
        if self.to in _COCO and (self.copy or self.val) and self.is_file:
            raise typer.BadParameter(f"--copy and --val need a folder: --out is {self.out.name!r}")

    @property
    def is_file(self) -> bool:
        """Whether COCO is to be one file rather than a folder with the photographs."""
        return self.out.suffix.lower() == ".json"

    def labels(self, folder: str) -> "LabelCollection":
        """What is exported."""
        from fmbseg.labels.regions import class_regions

        labels = self.stage_options.of(folder)
        if self.regions or self.min_area or self.simplify:
            return class_regions(labels, kept_only=self.kept, min_area=self.min_area)
        return labels.filter(kept_only=True) if self.kept else labels

    def write(self, labels: "LabelCollection") -> "Exported":
        """Write the labels."""
        if self.to in _COCO:
            return self._coco(labels)
        if self.to in (Format.LABEL_STUDIO, Format.LABEL_STUDIO_POLYGONS):
            from fmbseg.labels.formats.label_studio import export_label_studio

            return export_label_studio(
                labels,
                self.out,
                shape="brush" if self.to is Format.LABEL_STUDIO else "polygons",
                simplify=self.simplify,
                copy=self.copy,
            )
        if self.to is Format.YOLO:
            from fmbseg.labels.formats.yolo import export_yolo

            return export_yolo(
                labels, self.out, copy=self.copy, val=self.val, seed=self.seed, simplify=self.simplify
            )
        if self.to is Format.PNG:
            from fmbseg.labels.formats.indexed_png import export_png

            return export_png(labels, self.out)
        from fmbseg.labels.formats.hf_datasets import export_datasets

        return export_datasets(labels, self.out)

    def _coco(self, labels: "LabelCollection") -> "Exported":
        from fmbseg.labels.formats.coco_export import export_coco
        from fmbseg.labels.formats.coco_folder import export_coco_folder

        shape: Shape = "rle" if self.to is Format.COCO else "polygons"
        if self.is_file:
            return export_coco(labels, self.out, shape=shape, simplify=self.simplify)
        return export_coco_folder(
            labels,
            self.out,
            shape=shape,
            simplify=self.simplify,
            copy=self.copy,
            val=self.val,
            seed=self.seed,
        )


@with_options(ChosenMasks)
def export_labels(
    folder: Labels,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write to; for COCO without photographs a file ending in .json.",
        ),
    ],
    to: Annotated[Format, typer.Option(help="Format to write.")] = Format.COCO,
    *,
    asked: ChosenMasks,
    regions: Annotated[
        bool, typer.Option("--regions", help="One region for each class of a photograph, without overlap.")
    ] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Only masks that were drawn for training.")] = False,
    min_area: Annotated[
        float,
        typer.Option(
            help="Parts of regions that are smaller join their neighbour: pixels, or a share below 1. "
            "Implies --regions."
        ),
    ] = 0.0,
    simplify: Annotated[
        float,
        typer.Option(
            help="Polygons without details smaller than this, in pixels; neighbours keep one border. "
            "Implies --regions."
        ),
    ] = 0.0,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Copy the photographs; YOLO and COCO folders link to them otherwise."),
    ] = False,
    val: Annotated[
        float, typer.Option(help="YOLO, COCO: share of the photographs to set apart for validation.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed for choosing those photographs.")] = 0,
) -> None:
    """Write labels for other tools: COCO (CVAT, FiftyOne), Label Studio, YOLO, VOC's PNG, HF datasets.

    A new export into the same folder replaces the previous one. Other files are never touched.
    """
    wanted = ExportOptions(asked, to, out, regions, kept, min_area, simplify, copy=copy, val=val, seed=seed)
    wanted.check()
    typer.echo(wanted.write(wanted.labels(folder)))


@with_options(ChosenMasks)
def push(
    folder: Labels,
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
