"""Measure a segmenter on a data set, image by image; stopped runs continue, parts are merged."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fmbseg
from fmbseg.ahead import ordered_map, readers
from fmbseg.evaluation.journal import RunFolder, check_run, joined
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.evaluation.metrics import SegmentationMetrics, number
from fmbseg.evaluation.pictures import RunPictures
from fmbseg.evaluation.protocols import Protocol as EvaluationProtocol
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.evaluation.report import REPORT_FILES, EvaluationReport
from fmbseg.images import ImageError
from fmbseg.method import TakesClasses
from fmbseg.part import Part
from fmbseg.progress import Progress
from fmbseg.sources.stored_path import whole_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fmbseg.evaluation.datasets import Sample, SegmentationData
    from fmbseg.method import Segmenter
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.vocabulary import Vocabulary

    _Loaded = tuple[NDArray[np.uint8], NDArray[np.int32]] | ImageError | DataSetError


def evaluate(
    segmenter: Segmenter,
    data: SegmentationData,
    protocol: str | EvaluationProtocol = "paper",
    *,
    out: str | Path | None = None,
    names: str = "raw",
    part: Part | None = None,
    limit: int | None = None,
    pictures: int = 4,
    progress: bool = False,
) -> EvaluationReport:
    """Measure a segmenter on a data set.

    Args:
        segmenter: what is measured.
        data: from :func:`~fmbseg.evaluation.datasets.open_data`.
        protocol: the name of one of :data:`~fmbseg.evaluation.protocols.PROTOCOLS`, or your own.
        out: folder of the run, where a stopped run continues and the report is written.
        names: ``raw``, ``clean`` or a file, see :meth:`Protocol.vocabulary`.
        part: the part of the set to measure; runs of all parts are joined by :func:`merge_runs`.
        limit: measure only this many images from the start of the set; the report says so.
        pictures: how many of the worst and of the best images to draw, if ``out`` is given.
        progress: whether to show a bar.

    Returns:
        The figures with every choice that they depend on. Images that could not be read are listed in its
        ``failures`` and are not in the figures.

    Raises:
        RunError: ``out`` holds another run, other files, or a damaged file.
        WouldReplaceError: ``out`` holds a report that fmbseg did not write, or another run is writing there.
        ValueError: a limit or a part without an image, or names that do not fit the set.

    Example:
        On the validation photographs of a folder with masks::

            segmenter = OpenVocabSegmenter.from_pretrained("head/")
            report = evaluate(segmenter, open_data("folder", "photos/"), "paper")
            print(report.figures["miou"])
    """
    chosen = get_protocol(protocol) if isinstance(protocol, str) else protocol
    part = part or Part()
    samples = chosen_samples(data, part, limit)
    run = {"model": segmenter.describe(), **describe_run(data, chosen, names, part, limit)}
    measurer = Measurer(segmenter, data, chosen.vocabulary(data, names), chosen.settings(data))
    if out is None:
        done = {row["key"]: row for row, _, _ in measurer.measure(samples, len(samples), shown=progress)}
        return EvaluationReport.of(run, [done[sample.key] for sample in samples])
    with RunFolder(Path(out), run, REPORT_FILES) as folder:
        todo = [one for one in samples if "error" in folder.rows.get(one.key, {"error": "not measured"})]
        drawn = RunPictures(folder.files, pictures, folder.rows)
        for row, result, target in measurer.measure(todo, len(samples), shown=progress):
            if result is not None and target is not None:
                drawn.offer(row["key"], row["miou"], partial(result.compare, target))
            folder.add(row)  # last, so that a kill in between measures and draws the image again
        report = EvaluationReport.of(run, [folder.rows[sample.key] for sample in samples])
        report.write(folder.files, drawn.scores)
    return report


def check_evaluation(
    data: SegmentationData,
    protocol: EvaluationProtocol,
    *,
    out: str | Path | None = None,
    names: str = "raw",
    part: Part | None = None,
    limit: int | None = None,
) -> None:
    """Raise what :func:`evaluate` would raise, before any model is loaded; it takes the same arguments.

    Raises:
        RunError: ``out`` holds another run, or other files.
        WouldReplaceError: ``out`` holds a report that fmbseg did not write.
        ValueError: a limit or a part without an image, or names that do not fit the set.
    """
    part = part or Part()
    chosen_samples(data, part, limit)
    run = describe_run(data, protocol, names, part, limit)
    if out is not None:
        check_run(Path(out), run, REPORT_FILES)


def merge_runs(folders: Iterable[str | Path], out: str | Path, *, pictures: int = 4) -> EvaluationReport:
    """Join the runs of several parts into the figures of a single run.

    Args:
        folders: of the runs.
        out: folder for the report.
        pictures: how many of the worst and best images to show.

    Raises:
        RunError: runs of different things, of the same part, or parts that are missing, not finished or
            damaged; or ``out`` holds another run.
        WouldReplaceError: ``out`` holds a report that fmbseg did not write, or another run is writing there.
    """
    paths = [Path(folder) for folder in folders]
    run, rows = joined(paths)
    with RunFolder(Path(out), run, REPORT_FILES) as folder:
        folder.take(rows)
        drawn = RunPictures(folder.files, pictures, folder.rows)
        drawn.take(paths, rows)
        report = EvaluationReport.of(run, list(rows.values()))
        report.write(folder.files, drawn.scores)
    return report


@dataclass(frozen=True)
class Measurer:
    """Segments images and counts."""

    segmenter: Segmenter
    data: SegmentationData
    vocabulary: Vocabulary
    settings: SegmentSettings

    def measure(
        self, samples: Sequence[Sample], of: int, *, shown: bool
    ) -> Iterator[tuple[dict[str, Any], Segmentation | None, NDArray[np.int32] | None]]:
        """Yield each image's line, with its result and target; without them if it could not be read.

        Args:
            samples: what is still to do.
            of: how many there are in all, for the bar.
            shown: whether there is a bar.
        """
        with Progress(shown=shown) as bars:
            yield from bars.track(self.each(samples), self.data.name, of, done=of - len(samples))

    def each(
        self, samples: Iterable[Sample]
    ) -> Iterator[tuple[dict[str, Any], Segmentation | None, NDArray[np.int32] | None]]:
        """Measure one image while threads read the next ones, and count the last one."""
        with closing(ordered_map(self._load, samples, workers=readers())) as loaded:
            results = (self._segment(sample, found) for sample, found in loaded)
            with closing(ordered_map(self._row, results, workers=1)) as rows:
                yield from (row for _, row in rows)

    def _load(self, sample: Sample) -> _Loaded:
        try:
            return self.data.load(sample)
        except (ImageError, DataSetError) as error:
            return error

    def _segment(self, sample: Sample, loaded: _Loaded) -> tuple[Sample, _Loaded, Segmentation | None]:
        # One image a call: what is computed for it must not depend on its neighbours in a batch, or parts
        # would not add up to the last digit.
        if isinstance(loaded, Exception):
            return sample, loaded, None
        result = segmented(self.segmenter, *loaded, self.data, self.vocabulary, self.settings)
        return sample, loaded, result

    def _row(
        self, measured: tuple[Sample, _Loaded, Segmentation | None]
    ) -> tuple[dict[str, Any], Segmentation | None, NDArray[np.int32] | None]:
        sample, loaded, result = measured
        if isinstance(loaded, Exception) or result is None:
            return {"key": sample.key, "error": str(loaded)}, None, None
        return {"key": sample.key, **counted(result, loaded[1], self.data)}, result, loaded[1]


def segmented(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    target: NDArray[np.int32],
    data: SegmentationData,
    vocabulary: Vocabulary,
    settings: SegmentSettings,
) -> Segmentation:
    """Segment one image of a set; a method that takes image-level labels is told the target's classes.

    Raises:
        ValueError: the answer has other classes than the set.
    """
    if isinstance(segmenter, TakesClasses):
        there = set(np.unique(target[target >= 0]).tolist())
        first = 1 if data.has_background else 0
        present = {index - first for index in there if index >= first}
        if data.has_background and 0 in there:
            present |= vocabulary.background
        result = segmenter.segment_known(image, vocabulary, tuple(sorted(present)), settings=settings)
    else:
        result = segmenter.segment(image, vocabulary, settings=settings)
    if result.names != data.names:
        other = sorted(set(result.names) ^ set(data.names))[:3]
        raise ValueError(
            f"{segmenter.describe()} answers with other words than those of {data.name}: {len(result.names)} "
            f"for {len(data.names)} classes, {', '.join(other)} not in both"
        )
    return result


def counted(result: Segmentation, target: NDArray[np.int32], data: SegmentationData) -> dict[str, Any]:
    """What is counted of one image, as JSON values."""
    metrics = SegmentationMetrics(len(data.names))
    metrics.update(result.labels, target)
    row = {"miou": number(metrics.confusion.miou()), **metrics.to_row()}
    return row if result.device is None else {**row, "device": result.device}


def chosen_samples(data: SegmentationData, part: Part, limit: int | None) -> list[Sample]:
    """The images of a part of the first ``limit``.

    Raises:
        ValueError: there are none.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: it must be 1 image or more")
    chosen = list(part.take(data.samples[:limit]))
    if not chosen:
        raise ValueError(f"part {part} of {len(data.samples)} images has none")
    return chosen


def describe_run(
    data: SegmentationData,
    protocol: EvaluationProtocol,
    names: str,
    part: Part,
    limit: int | None,
) -> dict[str, Any]:
    """What is measured and how, but for the model."""
    keys = [sample.key for sample in data.samples[:limit]]
    return {
        "fmbseg": fmbseg.__version__,
        "data": {
            "name": data.name,
            "root": whole_name(data.root),
            "split": data.split,
            "classes": list(data.names),
            "images": len(keys),
            "of": len(data.samples),
            "keys": keys,
            "keys_sha256": sha256(json.dumps(keys).encode()).hexdigest(),
        },
        "protocol": protocol.describe(data, names),
        "part": [part.index, part.count],
    }
