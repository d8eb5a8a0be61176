"""The options of ``fmbseg segment``, and what they ask for."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fmbseg.cli.engine_options import EngineOptions
from fmbseg.cli.friendly import complain
from fmbseg.cli.options import PHOTOGRAPHS, Classes, DeviceName, OutFolder, Strict, VocabularyName
from fmbseg.heads import DEFAULT_HEAD
from fmbseg.sources.contract import StoredImage, stored_images

if TYPE_CHECKING:
    from fmbseg.segment_settings import BackgroundRule, MaskNaming, MaskSnap, Pamr, SegmentSettings

_BY_MASKS = ("regions", "masks", "cutouts", "snap")


@dataclass(frozen=True)
class FoundImages:
    """The images of a path, and whether nothing that may be an image was left out."""

    images: "list[Path | StoredImage]"
    complete: bool


def images_of(place: str) -> FoundImages:
    """The images of a path or URI; missing images and skipped files are reported on stderr."""
    from fmbseg.images import ImageError, find_images, passed_over
    from fmbseg.sources.opened import is_local

    if not is_local(place):
        return _stored_images(place)
    path, images = Path(place), list[Path | StoredImage]()
    try:
        images.extend(find_images(path))
    except ImageError as error:
        complain(error, "not segmented")
    left = passed_over(path) if path.is_dir() and (images or os.access(path, os.R_OK)) else ()
    if left:
        complain(left, "warning")
    return FoundImages(images, bool(images) and not left)


def _stored_images(place: str) -> FoundImages:
    from fmbseg.signatures import ImageError
    from fmbseg.sources.opened import open_source

    try:
        source = open_source(place)
    except (ImageError, FileNotFoundError) as error:
        complain(error, "not segmented")
        return FoundImages([], complete=False)
    if told := source.told():
        complain(told, "warning")
    return FoundImages([*stored_images(source)], not told)


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(EngineOptions):
    """What ``fmbseg segment`` takes."""

    out: OutFolder
    paths: Annotated[list[str] | None, typer.Argument(help=PHOTOGRAPHS)] = None
    example: Annotated[
        bool, typer.Option("--example", help="Segment a photograph that comes with the extra `offline`.")
    ] = False
    head: Annotated[
        str,
        typer.Option(
            help="Head: a folder of `fmbseg fit`, owner/name on the Hub, an .onnx file, or a packaged head."
        ),
    ] = DEFAULT_HEAD
    classes: Classes = None
    vocabulary: VocabularyName = None
    background: Annotated[
        str,
        typer.Option(
            help="What is background: common (words marked in the vocabulary, else a list of common ones), "
            "words (the marked alone), similarity, softmax or none."
        ),
    ] = "common"
    threshold: Annotated[
        float | None, typer.Option(help="Scores below this are background (with similarity or softmax).")
    ] = None
    temperature: Annotated[float, typer.Option(help="Temperature of the softmax.")] = 0.01
    hubness: Annotated[
        float | None,
        typer.Option(help="Penalty weight of words that are similar to everything; by default the head's."),
    ] = None
    margin: Annotated[
        float, typer.Option(help="No class where the best two classes differ by less than this.")
    ] = 0.0
    certainty: Annotated[
        float | None,
        typer.Option(
            help="No class where the best is less likely right than this, 0 to 1 (0 paints all); by default "
            "the head's."
        ),
    ] = None
    calibration: Annotated[
        str | None,
        typer.Option(
            help="File of `fmbseg calibrate`; by default the one in the head's folder, if there is one. none "
            "for none."
        ),
    ] = None
    whole: Annotated[
        bool, typer.Option("--whole", help="Encode the whole image at once, without windows.")
    ] = False
    mirror: Annotated[bool, typer.Option("--mirror", help="Average with the mirrored image.")] = False
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Average over several relative sizes: --scale 1 --scale 1.43."),
    ] = None
    short_side: Annotated[
        int | None, typer.Option(help="Pixels to which an image's short side is resized.")
    ] = None
    preserve: Annotated[
        float | None,
        typer.Option(help="Weight, 0 to 1, of the image-text model's own scores; slower."),
    ] = None
    refine: Annotated[
        str | None,
        typer.Option(
            help="Refine by pamr; or by the masks of a mask generator: regions names those at points in the "
            "class map's regions, masks names all (slow), cutouts all and sees doubtful ones alone, snap "
            "gives each its most frequent class. "
            "Write regions:GENERATOR for another than mobilesam, none for no refinement."
        ),
    ] = None
    plain: Annotated[
        bool,
        typer.Option("--plain", help="The head alone, without what the recipe of its models adds; faster."),
    ] = False
    heatmap: Annotated[
        list[str] | None, typer.Option(help="Also draw a heat map of this word; repeatable.")
    ] = None
    geojson: Annotated[bool, typer.Option("--geojson", help="Also write outlines as GeoJSON.")] = False
    strict: Strict = False
    device: DeviceName = None

    def settings(self, base: "SegmentSettings", threshold: float | None) -> "SegmentSettings":
        """The settings that a head comes with, with what was asked for.

        Args:
            base: those of the head's recipe, or the plain ones.
            threshold: of the background.
        """
        from fmbseg.segment_settings import Background, KnowledgePreservation

        windows = base.windows
        if self.whole:
            windows = replace(windows, window=None)
        if self.short_side is not None:
            windows = replace(windows, short_side=self.short_side)
        if self.preserve is not None:
            base = replace(base, preserve=KnowledgePreservation(self.preserve) if self.preserve else None)
        if self.refine is not None:
            base = replace(base, refine=_refinement(self.refine), refine_common=None)
        return replace(
            base,
            windows=windows,
            scales=tuple(self.scale or (1.0,)),
            mirror=self.mirror,
            background=Background(cast("BackgroundRule", self.background), threshold),
            temperature=self.temperature,
            hubness=self.hubness,
            min_margin=self.margin,
            certainty=self.certainty,
        )

    def images(self) -> list["FoundImages"]:
        """The images of each path.

        Raises:
            typer.BadParameter: no path was given, and no example asked for.
        """
        paths = list(self.paths or [])
        if self.example:
            from fmbseg.demo.photographs import EXAMPLE, packaged_path

            paths.append(str(packaged_path(EXAMPLE.module, EXAMPLE.file)))
        if not paths:
            raise typer.BadParameter("give images or folders of images, or --example for a photograph to try")
        return [images_of(path) for path in paths]


def told(settings: "SegmentSettings") -> str:
    """The options of the command line that make these settings' windows, mixing and refinement.

    Example:
        >>> from fmbseg.recipes import get_recipe
        >>> told(get_recipe("offline").segmenting)
        '--short-side 640 --whole --preserve 0.5 --refine regions:mobilesam'
    """
    from fmbseg.segment_settings import Pamr

    options = [f"--short-side {settings.windows.short_side}"]
    if settings.windows.window is None:
        options.append("--whole")
    if settings.preserve is not None:
        options.append(f"--preserve {settings.preserve.weight:g}")
    refine = settings.refine
    if isinstance(refine, Pamr):
        options.append("--refine pamr")
    elif refine is not None:
        options.append(f"--refine {_kind(refine)}:{refine.generator}")
    return " ".join(options)


def _kind(refine: "MaskSnap | MaskNaming") -> str:
    from fmbseg.segment_settings import MaskSnap, RegionNaming

    if isinstance(refine, MaskSnap):
        return "snap"
    if isinstance(refine, RegionNaming):
        return "regions"
    return "masks" if refine.second_look is None else "cutouts"


def _refinement(text: str) -> "Pamr | MaskSnap | MaskNaming | None":
    from fmbseg.models.registries import MASK_GENERATORS
    from fmbseg.recipes import mask_options_for
    from fmbseg.segment_settings import MaskNaming, MaskSnap, Pamr, RegionNaming, SecondLook
    from fmbseg.unknown_name import UnknownNameError

    if text == "none":
        return None
    kind, colon, generator = text.partition(":")
    if kind == "pamr" and not colon:
        return Pamr()
    if kind not in _BY_MASKS:
        raise UnknownNameError("refinement", text, ["none", "pamr", *_BY_MASKS])
    generator = generator or "mobilesam"
    MASK_GENERATORS.get(MASK_GENERATORS.expand(generator).partition(":")[0])  # a wrong name is told first
    if kind == "snap":
        return MaskSnap(generator)
    options = mask_options_for(generator)
    if kind == "regions":
        return RegionNaming(generator, options)
    return MaskNaming(generator, options, SecondLook() if kind == "cutouts" else None)
