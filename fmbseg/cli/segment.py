"""``fmbseg segment``: any words, any images."""

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fmbseg.cli.calibrations import find_calibration
from fmbseg.cli.friendly import complain
from fmbseg.cli.options import (
    Classes,
    DeviceName,
    OutFolder,
    Strict,
    VocabularyName,
    with_hub_options,
    words,
)
from fmbseg.cli.words import warn_of_words_for
from fmbseg.heads import DEFAULT_HEAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.progress import Progress
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import BackgroundRule, MaskNaming, MaskSnap, Pamr, SegmentSettings
    from fmbseg.segmentation.classes import ResultClasses
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary
    from fmbseg.written import WrittenFiles

_KIND = "segmentation"
_BY_MASKS = ("regions", "masks", "snap")
_CLASSES = "classes.txt"
_LONGEST_SIDE = 1600
"""Longest side of an overlay in pixels; the class map keeps the image's size."""


@with_hub_options
def segment(
    out: OutFolder,
    paths: Annotated[list[Path] | None, typer.Argument(help="Images, or folders of images.")] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Segment a photograph that comes with the extra `offline`.")
    ] = False,
    head: Annotated[
        str,
        typer.Option(
            help="Head: a folder of `fmbseg fit`, owner/name on the Hub, an .onnx file, or a packaged head."
        ),
    ] = DEFAULT_HEAD,
    classes: Classes = None,
    vocabulary: VocabularyName = None,
    background: Annotated[
        str,
        typer.Option(
            help="What is background: common (words marked in the vocabulary, else a list of common ones), "
            "words (the marked alone), similarity, softmax or none."
        ),
    ] = "common",
    threshold: Annotated[
        float | None, typer.Option(help="Scores below this are background (with similarity or softmax).")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Temperature of the softmax.")] = 0.01,
    hubness: Annotated[
        float | None,
        typer.Option(help="Penalty weight of words that are similar to everything; by default the head's."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="No class where the best two classes differ by less than this.")
    ] = 0.0,
    certainty: Annotated[
        float | None,
        typer.Option(
            help="No class where the best is less likely right than this, 0 to 1 (0 paints all); by default "
            "the head's."
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="File of `fmbseg calibrate`; by default the one in the head's folder, if there is one. none "
            "for none."
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Encode the whole image at once, without windows.")
    ] = False,
    mirror: Annotated[bool, typer.Option("--mirror", help="Average with the mirrored image.")] = False,
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Average over several relative sizes: --scale 1 --scale 1.43."),
    ] = None,
    short_side: Annotated[
        int | None, typer.Option(help="Pixels to which an image's short side is resized.")
    ] = None,
    preserve: Annotated[
        float | None,
        typer.Option(help="Weight, 0 to 1, of the image-text model's own scores; slower."),
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(
            help="Refine by pamr; or by the masks of a mask generator: regions names those at points in the "
            "class map's regions, masks names all (slow), snap gives each its most frequent class. "
            "Write regions:GENERATOR for another than mobilesam, none for no refinement."
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="A packaged head alone, without what its recipe adds; faster."),
    ] = False,
    heatmap: Annotated[
        list[str] | None, typer.Option(help="Also draw a heat map of this word; repeatable.")
    ] = None,
    geojson: Annotated[bool, typer.Option("--geojson", help="Also write outlines as GeoJSON.")] = False,
    strict: Strict = False,
    device: DeviceName = None,
    *,
    hub: "HubOptions",
) -> None:
    """Segment images with any words; writes a class map (PNG) and an overlay of each and prints one line.

    Images that cannot be read are reported and skipped. OUT/classes.txt names the class maps' values.
    Value 255 (65535 beyond 255 classes) is unknown: no word was certain enough; overlays hatch it.
    OUT holds the results of one run: those of an earlier run are removed; other files are never touched.
    """
    wanted = words(classes, vocabulary)
    from fmbseg.cli.heads import load_segmenter
    from fmbseg.files import encode
    from fmbseg.progress import Progress
    from fmbseg.recipes import segmenting_with
    from fmbseg.segment_settings import Background, KnowledgePreservation, SegmentSettings
    from fmbseg.segmentation.classes import ResultClasses
    from fmbseg.written import WrittenFiles, check_folder

    calibrated = find_calibration(head, calibration)
    if calibrated is not None and background == "similarity" and threshold is None:
        threshold = calibrated.calibration.threshold
    base = SegmentSettings() if plain else segmenting_with(head)
    windows = replace(base.windows, window=None) if whole else base.windows
    settings = replace(
        base,
        windows=windows if short_side is None else replace(windows, short_side=short_side),
        scales=tuple(scale or (1.0,)),
        mirror=mirror,
        background=Background(cast("BackgroundRule", background), threshold),
        temperature=temperature,
        hubness=hubness,
        min_margin=margin,
        certainty=certainty,
        preserve=base.preserve if preserve is None else KnowledgePreservation(preserve) if preserve else None,
        refine=base.refine if refine is None else _refinement(refine),
    )
    extras = Extras(tuple(dict.fromkeys(heatmap or ())), geojson)
    result_classes = ResultClasses.of(wanted, settings.background)
    _refuse_what_cannot_be_written(result_classes, extras)
    listed = [images_of(path) for path in _asked(paths or [], example)]
    images = dict.fromkeys(image for found in listed for image in found.images)
    targets = target_names(list(images))
    if not targets:
        raise typer.Exit(1)
    names = [_CLASSES, *(name for target in targets.values() for name in _files(target, extras))]
    check_folder(out, _KIND, names)
    segmenter = load_segmenter(head, settings, hub, device)
    if calibrated is not None:
        segmenter = calibrated.applied_to(segmenter, wanted, certainty)
    if base != SegmentSettings():
        typer.echo(f"settings: {told(settings)} (--plain: the head alone)", err=True)
    warn_of_words_for(segmenter, wanted)
    with WrittenFiles(out, _KIND) as written, Progress() as bars:
        written.check(names)
        written.write(_CLASSES, encode("".join(f"{name}\n" for name in result_classes.names)))
        run = Run(segmenter, wanted, extras, written)
        done = [
            _segment_one(run, image, target, bars)
            for image, target in bars.track(targets.items(), "segmenting", len(targets))
        ]
    if sum(done) > 1:
        typer.echo(run.told())
    if strict and not (all(done) and all(found.complete for found in listed)):
        raise typer.Exit(1)


def _asked(paths: list[Path], example: bool) -> list[Path]:
    if example:
        from fmbseg.demo.photographs import EXAMPLE, packaged_path

        return [*paths, packaged_path(EXAMPLE.module, EXAMPLE.file)]
    if not paths:
        raise typer.BadParameter("give images or folders of images, or --example for a photograph to try")
    return paths


@dataclass(frozen=True)
class Extras:
    """What is written for an image besides class map and overlay.

    Args:
        heatmaps: words whose similarity is drawn.
        geojson: whether to write outlines.
    """

    heatmaps: tuple[str, ...] = ()
    geojson: bool = False


def told(settings: "SegmentSettings") -> str:
    """The options of the command line that make these settings' windows, mixing and refinement.

    Example:
        >>> from fmbseg.recipes import get_recipe
        >>> told(get_recipe("offline").segmenting)
        '--short-side 640 --whole --preserve 0.5 --refine regions:mobilesam'
    """
    from fmbseg.segment_settings import MaskNaming, Pamr, RegionNaming

    options = [f"--short-side {settings.windows.short_side}"]
    if settings.windows.window is None:
        options.append("--whole")
    if settings.preserve is not None:
        options.append(f"--preserve {settings.preserve.weight:g}")
    refine = settings.refine
    if isinstance(refine, Pamr):
        options.append("--refine pamr")
    elif refine is not None:
        naming = "masks" if isinstance(refine, MaskNaming) else "snap"
        options.append(
            f"--refine {'regions' if isinstance(refine, RegionNaming) else naming}:{refine.generator}"
        )
    return " ".join(options)


def _refinement(text: str) -> "Pamr | MaskSnap | MaskNaming | None":
    from fmbseg.models.registries import MASK_GENERATORS
    from fmbseg.recipes import mask_options_for
    from fmbseg.segment_settings import MaskNaming, MaskSnap, Pamr, RegionNaming
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
    naming = RegionNaming if kind == "regions" else MaskNaming
    return naming(generator, mask_options_for(generator))


@dataclass(frozen=True)
class Found:
    """The images of a path, and whether nothing that may be an image was left out."""

    images: "list[Path]"
    complete: bool


def images_of(path: Path) -> Found:
    """The images of a path; missing images and skipped files are reported on stderr."""
    from fmbseg.images import ImageError, find_images, passed_over

    images: list[Path] = []
    try:
        images = find_images(path)
    except ImageError as error:
        complain(error, "not segmented")
    left = passed_over(path) if path.is_dir() and (images or os.access(path, os.R_OK)) else ()
    if left:
        complain(left, "warning")
    return Found(images, bool(images) and not left)


class Run:
    """What the images of a command have in common: how they are segmented, and where and how that is written.

    Args:
        segmenter: for all images.
        vocabulary: the words.
        extras: what else to write.
        written: the output folder.
    """

    def __init__(
        self,
        segmenter: "OpenVocabSegmenter",
        vocabulary: "Vocabulary",
        extras: Extras,
        written: "WrittenFiles",
    ) -> None:
        from fmbseg.drawing.colours import ClassColours

        self.segmenter, self.vocabulary, self.extras, self.written = segmenter, vocabulary, extras, written
        self.colours = ClassColours()
        self._areas: Counter[str] = Counter()
        self._images = self._pixels = self._unknown = 0

    def count(self, result: "Segmentation") -> None:
        """Take a result into the summary."""
        self._areas.update(result.areas)
        self._images += 1
        self._pixels += result.labels.size
        self._unknown += result.unknown

    def told(self) -> str:
        """The summary in a line."""
        return f"{self._images} images: {_shares(self._areas, self._unknown, self._pixels)}"


def _segment_one(run: Run, image: Path, target: Path, bars: "Progress") -> bool:
    """Segment an image and save the result; return False and print to stderr if it cannot be read."""
    from fmbseg.images import ImageError

    try:
        result = run.segmenter.segment(image, run.vocabulary)
    except ImageError as error:
        complain(error, "not segmented")
        return False
    run.count(result)
    bars.result(f"{image}: {shares(result)} -> {_save(result, target, run)}")
    return True


def target_names(images: "Sequence[Path]") -> dict[Path, Path]:
    """The path of each image's results in the output folder, without a suffix.

    Folders below the images' common one are kept. Names lose their extension if they stay distinct.

    Example:
        >>> names = target_names([Path("a/cat.jpg"), Path("a/b/cat.jpg")])
        >>> [name.as_posix() for name in names.values()]
        ['cat', 'b/cat']
    """
    if not images:
        return {}
    root = Path(os.path.commonpath([image.absolute().parent for image in images]))
    whole = {image: image.absolute().relative_to(root) for image in images}
    short = {image: name.with_suffix("") for image, name in whole.items()}
    return short if len(set(short.values())) == len(short) else whole


def shares(result: "Segmentation", most: int = 4) -> str:
    """The largest classes and the shares of the image that they cover, and that of what is unknown.

    Example:
        >>> import numpy as np
        >>> from fmbseg.results import Segmentation
        >>> row = np.array([[0, 0, 0, 1, 1, 2]])
        >>> shares(Segmentation(row, np.ones((1, 6)), ("sky", "sea", "gull")), most=2)
        'sky 50%, sea 33%, ...'
    """
    return _shares(result.areas, result.unknown, result.labels.size, most)


def _shares(areas: "Mapping[str, int]", unknown: int, pixels: int, most: int = 4) -> str:
    shown = [one for one in Counter(areas).most_common() if one[1] >= 0.005 * pixels]
    told = [*shown[:most], ("unknown", unknown)]
    named = [f"{name} {area / pixels:.0%}" for name, area in told if area >= 0.005 * pixels]
    return ", ".join([*named, *(["..."] if len(shown) > most else [])])


def _save(result: "Segmentation", target: Path, run: Run) -> str:
    """Write the class map, the overlay and the extras of a target (a path without a suffix).

    Returns:
        The overlay's path.
    """
    from fmbseg.files import encode

    written, extras = run.written, run.extras
    class_map, overlay, *others = _files(target, extras)
    written.write(class_map, result.png())
    with written.path(overlay) as file:
        result.plot(max_side=_LONGEST_SIDE, colours=run.colours).save(file, quality=90)
    for word, name in zip(extras.heatmaps, others, strict=False):
        with written.path(name) as file:
            result.heatmap(word).save(file, quality=90)
    if extras.geojson:
        written.write(others[-1], encode(json.dumps(result.to_geojson())))
    return str(written.folder / overlay)


def _files(target: Path, extras: Extras) -> list[str]:
    """The files of an image: class map, overlay, heat maps in order, outlines."""
    heatmaps = [f"heatmap_{_in_a_file_name(word)}.jpg" for word in extras.heatmaps]
    endings = ["classes.png", "overlay.jpg", *heatmaps, *(["outlines.geojson"] if extras.geojson else [])]
    return [target.with_name(f"{target.name}_{ending}").as_posix() for ending in endings]


def _in_a_file_name(word: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in word)[:60]


def _refuse_what_cannot_be_written(classes: "ResultClasses", extras: Extras) -> None:
    """Raise, before any work, whatever would fail when the first result is saved."""
    from fmbseg.results import MOST_PNG_CLASSES

    if len(classes.names) > MOST_PNG_CLASSES:
        raise ValueError(
            f"class maps are PNGs, which hold at most {MOST_PNG_CLASSES} classes; these are "
            f"{len(classes.names)}: name fewer, or use OpenVocabSegmenter in Python"
        )
    named: dict[str, str] = {}
    for word in extras.heatmaps:
        classes.asked.index(word)
        other = named.setdefault(_in_a_file_name(word), word)
        if other != word:
            raise ValueError(
                f"the heat maps of {other!r} and {word!r} would have one file name: draw them in two runs"
            )
