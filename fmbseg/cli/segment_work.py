"""What ``fmbseg segment`` makes of an image, here or on a worker of an engine: files as bytes, and a line."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image

    from fmbseg.cli.heads import FoundCalibration
    from fmbseg.drawing.colours import ClassColours
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.sources.contract import StoredImage
    from fmbseg.vocabulary import Vocabulary

    Targets = Sequence[tuple[Path | StoredImage, Path]]

_LONGEST_SIDE = 1600
"""Longest side of an overlay in pixels; the class map keeps the image's size."""

_QUALITY = 90


@dataclass(frozen=True)
class Extras:
    """What is written for an image besides class map and overlay.

    Args:
        heatmaps: words whose similarity is drawn.
        geojson: whether to write outlines.
    """

    heatmaps: tuple[str, ...] = ()
    geojson: bool = False

    def files(self, target: Path) -> list[str]:
        """Of an image, a path without a suffix: class map, overlay, heat maps in order, outlines."""
        heatmaps = [f"heatmap_{in_a_file_name(word)}.jpg" for word in self.heatmaps]
        endings = ["classes.png", "overlay.jpg", *heatmaps, *(["outlines.geojson"] if self.geojson else [])]
        return [target.with_name(f"{target.name}_{ending}").as_posix() for ending in endings]


def in_a_file_name(word: str) -> str:
    """A word with what a file's name may hold."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in word)[:60]


class Drawn(NamedTuple):
    """An image that is done.

    Attributes:
        image: which.
        error: why it could not be segmented; empty if it was.
        files: what is to be written, by name.
        areas: pixels of each class.
        unknown: pixels of none.
        pixels: all.
    """

    image: "Path | StoredImage"
    error: str
    files: "Mapping[str, bytes]"
    areas: "Mapping[str, int]"
    unknown: int
    pixels: int


def drawn(
    image: "Path | StoredImage",
    result: "Segmentation | Exception",
    target: Path,
    extras: Extras,
    colours: "ClassColours",
) -> Drawn:
    """Draw a result.

    Args:
        image: that was segmented.
        result: of it, or why there is none.
        target: of its files, without a suffix.
        extras: what else is wanted.
        colours: of the classes.
    """
    from fmbseg.files import encode
    from fmbseg.results import Segmentation

    if not isinstance(result, Segmentation):
        return Drawn(image, str(result), {}, {}, 0, 0)
    class_map, overlay, *others = extras.files(target)

    def jpeg(picture: "Image") -> bytes:
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=_QUALITY)
        return content.getvalue()

    files = {class_map: result.png(), overlay: jpeg(result.plot(max_side=_LONGEST_SIDE, colours=colours))}
    for word, name in zip(extras.heatmaps, others, strict=False):
        files[name] = jpeg(result.heatmap(word))
    if extras.geojson:
        files[others[-1]] = encode(json.dumps(result.to_geojson()))
    return Drawn(image, "", files, dict(result.areas), result.unknown, result.labels.size)


@dataclass(frozen=True)
class SegmentWork:
    """Makes a worker; picklable.

    Args:
        head: to load.
        settings: of the segmenter.
        hub: how files are found.
        device: that was asked for.
        calibrated: the calibration to apply.
        certainty: that was asked for.
        wanted: the words.
        extras: what else is written.
    """

    head: str
    settings: "SegmentSettings"
    hub: "HubOptions"
    device: str | None
    calibrated: "FoundCalibration | None"
    certainty: float | None
    wanted: "Vocabulary"
    extras: Extras

    def segmenter(self) -> "OpenVocabSegmenter":
        """Load it, and say what there is to say of it."""
        from fmbseg.cli.heads import load_segmenter

        made = load_segmenter(self.head, self.settings, self.hub, self.device)
        return (
            made if self.calibrated is None else self.calibrated.applied_to(made, self.wanted, self.certainty)
        )

    def __call__(
        self,
    ) -> "Callable[[Sequence[tuple[Path | StoredImage, Path]], Callable[[int], None]], list[Drawn]]":
        """Load the segmenter; the worker takes images with their targets."""
        from fmbseg.drawing.colours import ClassColours

        with redirect_stderr(io.StringIO()):  # each would say the same
            segmenter = self.segmenter()
        colours = ClassColours()

        def work(images: "Targets", tell: Callable[[int], None]) -> list[Drawn]:
            found = []
            targets = [target for _, target in images]
            results = segmenter.segment_files([image for image, _ in images], self.wanted)
            for (image, result), target in zip(results, targets, strict=True):
                found.append(drawn(image, result, target, self.extras, colours))
                tell(1)
            return found

        return work


def in_chunks(targets: "Mapping[Path | StoredImage, Path]", size: int = 8) -> "list[Targets]":
    """Images with their targets, a few together.

    Example:
        >>> chunks = in_chunks({Path(name): Path(name) for name in "abc"}, 2)
        >>> [len(chunk) for chunk in chunks]
        [2, 1]
    """
    every = list(targets.items())
    return [every[start : start + size] for start in range(0, len(every), size)]
