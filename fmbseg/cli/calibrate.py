"""``fmbseg calibrate``, and what it found where ``fmbseg segment`` uses it."""

import random
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.heads import CALIBRATION_FILE, load_segmenter, settings_of
from fmbseg.cli.options import (
    PHOTOGRAPHS,
    Classes,
    DeviceName,
    VocabularyName,
    with_hub_options,
    with_options,
    words,
)
from fmbseg.cli.segment_options import images_of
from fmbseg.cli.words import warn_of_words_for
from fmbseg.heads import packaged_head
from fmbseg.sources.contract import StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.progress import Progress

_FILES = (CALIBRATION_FILE, "calibration.html")
_KIND = "calibration"
_SHOWN = 6


@dataclass(frozen=True)
class CalibrateOptions:
    """What ``fmbseg calibrate`` takes."""

    head: Annotated[str, typer.Argument(help="Head, as `fmbseg segment` takes it, but no .onnx file.")]
    paths: Annotated[list[str], typer.Argument(help=PHOTOGRAPHS)]
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; by default the head's own, if it is one of yours."),
    ] = None
    classes: Classes = None
    vocabulary: VocabularyName = None
    certainty: Annotated[
        float | None,
        typer.Option(help="Below which certainty pixels are to stay blank; by default the head's, or 0.5."),
    ] = None
    count: Annotated[int, typer.Option(min=1, help="Photographs to look at, at most; chosen by chance.")] = 50
    plain: Annotated[bool, typer.Option("--plain", help="For `fmbseg segment --plain`: the head alone.")] = (
        False
    )
    device: DeviceName = None


@with_hub_options
@with_options(CalibrateOptions)
def calibrate(asked: CalibrateOptions, *, hub: "HubOptions") -> None:
    """Find out from your own photographs, without labels, how certain a head is, and what to leave blank.

    Writes calibration.json, which `fmbseg segment` takes (by itself where it lies in the head's folder), and
    calibration.html, a page with the scores and six pictures to judge it by.
    """
    wanted = words(asked.classes, asked.vocabulary)
    from fmbseg.certainty import check_certainty

    if asked.certainty is not None:
        check_certainty("--certainty", asked.certainty)
    place = _place(asked.head, asked.out)
    from fmbseg.checksums import write_sealed_json
    from fmbseg.files import encode
    from fmbseg.progress import Progress
    from fmbseg.segment_settings import Background
    from fmbseg.segmentation.calibration import calibrate as find
    from fmbseg.segmentation.calibration_page import calibration_page
    from fmbseg.written import WrittenFiles, check_folder

    check_folder(place, _KIND, _FILES)
    found = sorted({image for path in asked.paths for image in images_of(path).images}, key=_by_parts)
    if not found:
        raise typer.Exit(1)
    drawn_at_random = random.Random(0).sample(found, min(asked.count, len(found)))  # noqa: S311 - no secret
    chosen = sorted(drawn_at_random, key=_by_parts)
    base = settings_of(asked.head, hub, plain=asked.plain)
    settings = replace(base, background=Background("common"))
    segmenter = load_segmenter(asked.head, settings, hub, asked.device)
    warn_of_words_for(segmenter, wanted)
    readable: list[Path | StoredImage] = []
    with Progress() as bars:
        calibration = find(segmenter, _readable(chosen, readable, bars), wanted, asked.certainty)
        calibrated = calibration.applied_to(segmenter)
        shown = random.Random(0).sample(readable, min(_SHOWN, len(readable)))  # noqa: S311 - no secret
        drawn = bars.track(shown, "drawing", len(shown))
        page = calibration_page(
            calibration, ((image.name, calibrated.segment(image, wanted)) for image in drawn)
        )
    with WrittenFiles(place, _KIND) as written:
        written.check(_FILES)
        with written.path(_FILES[0]) as file:
            write_sealed_json(file, calibration.to_dict())
        written.write(_FILES[1], encode(page))
    typer.echo(
        f"{calibration.photographs} photographs: certainty {calibration.certainty.default:g} is reached at "
        f"score {calibration.threshold:.3f} -> {place / _FILES[0]}, {place / _FILES[1]}"
    )


def _place(head: str, out: Path | None) -> Path:
    if out is not None:
        return out
    if Path(head).is_dir() and packaged_head(head) is None:
        return Path(head)
    raise typer.BadParameter(f"--out is needed: {head} is no folder of yours to write the calibration beside")


def _by_parts(image: Path | StoredImage) -> PurePosixPath:
    return PurePosixPath(str(image))


def _readable(
    paths: list[Path | StoredImage], readable: list[Path | StoredImage], bars: "Progress"
) -> "Iterator[NDArray[np.uint8]]":
    """Yield the photographs that can be read, and note their paths."""
    from fmbseg.images import ImageError, load_image

    for path in bars.track(paths, "looking", len(paths)):
        try:
            image = load_image(path)
        except ImageError as error:
            complain(error, "not looked at")
            continue
        readable.append(path)
        yield image
