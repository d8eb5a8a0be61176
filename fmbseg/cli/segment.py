"""``fmbseg segment``: any words, any images."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.heads import find_calibration, settings_of
from fmbseg.cli.options import with_hub_options, with_options, words
from fmbseg.cli.segment_options import SegmentOptions, told
from fmbseg.cli.segment_work import Drawn, Extras, SegmentWork, drawn, in_a_file_name, in_chunks
from fmbseg.cli.words import warn_of_words_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fmbseg.engines.engine import Engine
    from fmbseg.images import ImageError
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.progress import Progress
    from fmbseg.results import Segmentation
    from fmbseg.segmentation.classes import ResultClasses
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.sources.contract import StoredImage
    from fmbseg.vocabulary import Vocabulary
    from fmbseg.written import WrittenFiles

_KIND = "segmentation"
_CLASSES = "classes.txt"


@with_hub_options
@with_options(SegmentOptions)
def segment(asked: SegmentOptions, *, hub: "HubOptions") -> None:
    """Segment images with any words; writes a class map (PNG) and an overlay of each and prints one line.

    Images that cannot be read are reported and skipped. OUT/classes.txt names the class maps' values.
    Value 255 (65535 beyond 255 classes) is unknown: no word was certain enough; overlays hatch it.
    OUT holds the results of one run: those of an earlier run are removed; other files are never touched.
    """
    wanted = words(asked.classes, asked.vocabulary)
    from fmbseg.files import encode
    from fmbseg.progress import Progress
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.segmentation.classes import ResultClasses
    from fmbseg.written import WrittenFiles, check_folder

    calibrated, threshold = find_calibration(asked.head, asked.calibration), asked.threshold
    if calibrated is not None and asked.background == "similarity" and threshold is None:
        threshold = calibrated.calibration.threshold
    extras = Extras(tuple(dict.fromkeys(asked.heatmap or ())), asked.geojson)
    plain = SegmentSettings()
    result_classes = ResultClasses.of(wanted, asked.settings(plain, threshold).background)
    _refuse_what_cannot_be_written(result_classes, extras)
    listed = asked.images()
    targets = target_names(list(dict.fromkeys(image for found in listed for image in found.images)))
    if not targets:
        raise typer.Exit(1)
    names = [_CLASSES, *(name for target in targets.values() for name in extras.files(target))]
    check_folder(asked.out, _KIND, names)
    base = settings_of(asked.head, hub, plain=asked.plain)  # looks at the head, so it comes after the checks
    settings = asked.settings(base, threshold)
    work = SegmentWork(asked.head, settings, hub, asked.device, calibrated, asked.certainty, wanted, extras)
    engine = asked.chosen_engine()
    segmenter = None if engine else work.segmenter()
    if base != plain:
        here = settings if result_classes.common is None else settings.beside_common_words()
        typer.echo(f"settings: {told(here)} (--plain: the head alone)", err=True)
    if segmenter is not None:
        warn_of_words_for(segmenter, wanted)
    with WrittenFiles(asked.out, _KIND) as written, Progress() as bars:
        written.check(names)
        written.write(_CLASSES, encode("".join(f"{name}\n" for name in result_classes.names)))
        run = SegmentRun(targets, extras, written, bars)
        done = list(_here(segmenter, wanted, run) if segmenter else _elsewhere(engine, work, run))
    if sum(done) > 1:
        typer.echo(run.told())
    if asked.strict and not (all(done) and all(found.complete for found in listed)):
        raise typer.Exit(1)


def _here(segmenter: "OpenVocabSegmenter", wanted: "Vocabulary", run: "SegmentRun") -> "Iterator[bool]":
    """Segment in this process; for each image, in order, whether it was."""
    from fmbseg.ahead import ordered_map

    results = segmenter.segment_files(list(run.targets), wanted)
    # One result is drawn and written while the next one is computed.
    with closing(ordered_map(lambda one: run.finish(run.draw(one)), results, workers=1)) as finished:
        yield from (one for _, one in run.bars.track(finished, "segmenting", len(run.targets)))


def _elsewhere(engine: "Engine | None", work: SegmentWork, run: "SegmentRun") -> "Iterator[bool]":
    """Segment on an engine; for each image, as it comes, whether it was."""
    from fmbseg.engines.watch import Watch

    assert engine is not None
    with engine.crew(work, device=work.device) as crew:
        watch = Watch(run.bars, run.bars.bar("segmenting", len(run.targets)), crew)
        for _, found in crew.map(in_chunks(run.targets)):
            yield from [run.finish(one) for one in found]
            watch.done(len(found))


class SegmentRun:
    """What the images of a command have in common: where and how their results are written.

    Args:
        targets: path of each image's results in the output folder, without a suffix.
        extras: what else to write.
        written: the output folder.
        bars: above which an image's line is printed.
    """

    def __init__(
        self,
        targets: "Mapping[Path | StoredImage, Path]",
        extras: Extras,
        written: "WrittenFiles",
        bars: "Progress",
    ) -> None:
        from fmbseg.drawing.colours import ClassColours

        self.targets, self.extras, self.written, self.bars = targets, extras, written, bars
        self.colours = ClassColours()
        self._areas: Counter[str] = Counter()
        self._images = self._pixels = self._unknown = 0

    def draw(self, segmented: "tuple[Path | StoredImage, Segmentation | ImageError]") -> Drawn:
        """Draw a result of this process."""
        image, result = segmented
        return drawn(image, result, self.targets[image], self.extras, self.colours)

    def finish(self, done: Drawn) -> bool:
        """Write a result and print its line; return False and print to stderr if the image cannot be read."""
        if done.error:
            complain(done.error, "not segmented")
            return False
        self._areas.update(done.areas)
        self._images += 1
        self._pixels += done.pixels
        self._unknown += done.unknown
        for name, content in done.files.items():
            self.written.write(name, content)
        overlay = self.written.folder / self.extras.files(self.targets[done.image])[1]
        self.bars.result(f"{done.image}: {_shares(done.areas, done.unknown, done.pixels)} -> {overlay}")
        return True

    def told(self) -> str:
        """The summary in a line."""
        return f"{self._images} images: {_shares(self._areas, self._unknown, self._pixels)}"


def target_names(images: "Sequence[Path | StoredImage]") -> "dict[Path | StoredImage, Path]":
    """The path of each image's results in the output folder, without a suffix.

    Folders below the images' common one are kept. Names lose their extension if they stay distinct.

    Example:
        >>> names = target_names([Path("a/cat.jpg"), Path("a/b/cat.jpg")])
        >>> [name.as_posix() for name in names.values()]
        ['cat', 'b/cat']
    """
    if not images:
        return {}
    from fmbseg.sources.contract import joined
    from fmbseg.sources.listing import common_root

    names = {image: (image.absolute() if isinstance(image, Path) else image) for image in images}
    posix = {image: name.as_posix() if isinstance(name, Path) else str(name) for image, name in names.items()}
    cut = len(joined(common_root(list(posix.values())), ""))
    whole = {image: Path(name[cut:]) for image, name in posix.items()}
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
        other = named.setdefault(in_a_file_name(word), word)
        if other != word:
            raise ValueError(
                f"the heat maps of {other!r} and {word!r} would have one file name: draw them in two runs"
            )
