"""Measure a segmenter on a data set, image by image; stopped runs go on, shards are merged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import fmbseg
from fmbseg.evaluation.journal import Journal, RunError, read_rows, read_run
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.evaluation.metrics import SegmentationMetrics, number
from fmbseg.evaluation.pictures import PictureFolder
from fmbseg.evaluation.protocols import Protocol as EvaluationProtocol
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.evaluation.report import EvaluationReport
from fmbseg.images import ImageError
from fmbseg.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.evaluation.datasets import Sample, SegmentationData
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.vocabulary import Vocabulary


class Segmenter(Protocol):
    """What is measured, as :class:`~fmbseg.OpenVocabSegmenter` is."""

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        """Segment one image."""
        ...

    def describe(self) -> dict[str, Any]:
        """What it is made of, as JSON values."""
        ...


@dataclass(frozen=True)
class Shard:
    """One part of a data set: every ``count``-th image from the ``index``-th on.

    Args:
        index: from 1.
        count: of all shards.

    Raises:
        ValueError: an index that is none of the shards.

    Example:
        >>> Shard.of("2/3").take("abcdefg")
        ['b', 'e']
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shard {self.index}/{self.count}: the first number is from 1 to the second")

    @classmethod
    def of(cls, text: str) -> Shard:
        """Read ``1/2``."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ValueError(f"a shard is written as 1/2, the first of two; got {text!r}")
        return cls(int(index), int(count))

    def take(self, items: Sequence[Any]) -> list[Any]:
        """The items of this shard."""
        return list(items[self.index - 1 :: self.count])


def evaluate(
    segmenter: Segmenter,
    data: SegmentationData,
    protocol: str | EvaluationProtocol = "paper",
    *,
    out: str | Path | None = None,
    names: str = "raw",
    shard: Shard | None = None,
    limit: int | None = None,
    pictures: int = 4,
    progress: bool = False,
) -> EvaluationReport:
    """Measure a segmenter on a data set.

    Args:
        segmenter: what is measured.
        data: from :func:`~fmbseg.evaluation.datasets.open_data`.
        protocol: how; one of :data:`~fmbseg.evaluation.protocols.PROTOCOLS` or of one's own.
        out: folder of the run. A run that was stopped goes on there; the report is written there, too.
        names: ``raw``, ``clean`` or a file, see :meth:`Protocol.vocabulary`.
        shard: the part of the set to measure; runs of all parts are joined by :func:`merge_runs`.
        limit: the first so many images of the set only; the report says so.
        pictures: how many of the worst and of the best images are drawn, if there is an ``out``.
        progress: whether to show a bar.

    Returns:
        The figures with every choice that they depend on. Images that could not be read are listed in its
        ``failures`` and are not in the figures.

    Raises:
        RunError: ``out`` holds another run.
        ValueError: a limit or a shard without an image, or names that do not fit the set.

    Example:
        On the validation photographs of a folder with masks::

            segmenter = OpenVocabSegmenter.from_pretrained("head/")
            report = evaluate(segmenter, open_data("folder", "photos/"), "paper")
            print(report.figures["miou"])
    """
    chosen = get_protocol(protocol) if isinstance(protocol, str) else protocol
    shard = shard or Shard()
    samples = _samples(data, shard, limit)
    run = _describe(segmenter, data, chosen, names, shard, limit)
    journal = None if out is None else Journal(Path(out))
    rows = {} if journal is None else journal.begin(run)
    drawn = None if journal is None else PictureFolder(journal.folder, pictures, rows)
    todo = [sample for sample in samples if sample.key not in rows or "error" in rows[sample.key]]
    measurer = _Measurer(segmenter, data, chosen.vocabulary(data, names), chosen.settings(data))
    with Progress(shown=progress) as bars:
        for row, result, target in bars.track(
            measurer.measure(todo), data.name, len(samples), done=len(samples) - len(todo)
        ):
            rows[row["key"]] = row
            if journal is not None:
                journal.add(row)
            if drawn is not None and result is not None and target is not None:
                drawn.offer(row["key"], row["miou"], result, target)
    report = EvaluationReport.of(run, [rows[sample.key] for sample in samples])
    if journal is not None:
        report.write(journal.folder)
    return report


def merge_runs(folders: Iterable[str | Path], out: str | Path, *, pictures: int = 4) -> EvaluationReport:
    """Join runs of several shards: the same figures as one run of all.

    Args:
        folders: of the runs.
        out: folder for the report.
        pictures: how many of the worst and best images to show.

    Raises:
        RunError: runs of different things, of the same shard, or shards that are missing or not finished.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise RunError("no run to join: name the folders of all shards")
    runs = [read_run(path) for path in paths]
    alike = [{**run, "shard": None} for run in runs]
    for path, one in zip(paths, alike, strict=True):
        if one != alike[0]:
            changed = sorted(key for key in one if one.get(key) != alike[0].get(key))
            raise RunError(f"{path} and {paths[0]} differ in {', '.join(changed)}: they do not add up")
    shards = sorted(tuple(run["shard"]) for run in runs)
    count = shards[0][1]
    if shards != [(index, count) for index in range(1, count + 1)]:
        raise RunError(f"these are the shards {shards}: each of 1 to {count} is needed once")
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        rows.update(read_rows(path))
    wanted = runs[0]["data"]["keys"]
    missing = [key for key in wanted if key not in rows]
    if missing:
        raise RunError(f"{len(missing)} images were not measured, the first {missing[0]!r}: finish the runs")
    run = {**runs[0], "shard": [1, 1]}
    journal = Journal(Path(out))
    journal.begin(run)
    for key in wanted:
        journal.add(rows[key])
    PictureFolder.join(paths, journal.folder, pictures, rows)
    report = EvaluationReport.of(run, [rows[key] for key in wanted])
    report.write(journal.folder)
    return report


@dataclass(frozen=True)
class _Measurer:
    """Segments images and counts."""

    segmenter: Segmenter
    data: SegmentationData
    vocabulary: Vocabulary
    settings: SegmentSettings

    def measure(
        self, samples: Iterable[Sample]
    ) -> Iterator[tuple[dict[str, Any], Segmentation | None, NDArray[np.int32] | None]]:
        """Yield each image's line, with its result and target; without them if it could not be read."""
        for sample in samples:
            try:
                image, target = self.data.load(sample)
            except (ImageError, DataSetError) as error:
                yield {"key": sample.key, "error": str(error)}, None, None
                continue
            # One image a call: what is computed for it must not depend on its neighbours in a batch, or
            # shards would not add up to the last digit.
            result = self.segmenter.segment(image, self.vocabulary, settings=self.settings)
            metrics = SegmentationMetrics(len(self.data.names))
            metrics.update(result.labels, target)
            row = {"key": sample.key, "miou": number(metrics.confusion.miou()), **metrics.to_row()}
            yield row, result, target


def _samples(data: SegmentationData, shard: Shard, limit: int | None) -> list[Sample]:
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: it must be 1 image or more")
    chosen: list[Sample] = shard.take(data.samples[:limit])
    if not chosen:
        raise ValueError(f"shard {shard.index}/{shard.count} of {len(data.samples)} images has none")
    return chosen


def _describe(
    segmenter: Segmenter,
    data: SegmentationData,
    protocol: EvaluationProtocol,
    names: str,
    shard: Shard,
    limit: int | None,
) -> Mapping[str, Any]:
    keys = [sample.key for sample in data.samples[:limit]]
    return {
        "fmbseg": fmbseg.__version__,
        "model": segmenter.describe(),
        "data": {
            "name": data.name,
            "root": str(data.root.resolve()),
            "split": data.split,
            "classes": list(data.names),
            "images": len(keys),
            "of": len(data.samples),
            "keys": keys,
            "keys_sha256": sha256(json.dumps(keys).encode()).hexdigest(),
        },
        "protocol": protocol.describe(data, names),
        "shard": [shard.index, shard.count],
    }
