"""Methods side by side on one data set: one pass over the images; stopped runs go on, parts are merged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.drawing.classes import classes_in, draw_classes
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.layout import side_by_side
from fmbseg.drawing.legend import draw_legend
from fmbseg.evaluation.comparison import COMPARISON_FILES, Comparison
from fmbseg.evaluation.cost import Cost
from fmbseg.evaluation.evaluate import chosen_samples, counted, describe_run, segmented
from fmbseg.evaluation.journal import RunError, RunFolder, check_run, joined
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.evaluation.pictures import DifferencePictures
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.images import ImageError
from fmbseg.part import Part
from fmbseg.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from fmbseg.evaluation.datasets import Sample, SegmentationData
    from fmbseg.evaluation.protocols import Protocol
    from fmbseg.method import Method
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.vocabulary import Vocabulary

_GAP = 6


def check_comparison(
    specs: Sequence[str],
    data: SegmentationData,
    protocol: Protocol,
    *,
    out: str | Path,
    names: str = "raw",
    part: Part | None = None,
    limit: int | None = None,
) -> None:
    """Raise what :func:`compare` would raise, before any model is loaded.

    Raises:
        ValueError: fewer than two methods, one twice, or what :func:`~fmbseg.evaluation.evaluate.evaluate`
            refuses.
        RunError: ``out`` holds another run, or other files.
    """
    _check_methods(specs)
    part = part or Part()
    chosen_samples(data, part, limit)
    check_run(Path(out), describe_run(data, protocol, names, part, limit), COMPARISON_FILES)


def compare(
    methods: Sequence[Method],
    data: SegmentationData,
    protocol: str | Protocol = "paper",
    *,
    out: str | Path,
    names: str = "raw",
    part: Part | None = None,
    limit: int | None = None,
    pictures: int = 6,
    lacking: Mapping[str, str] | None = None,
    progress: bool = False,
) -> Comparison:
    """Measure methods side by side, each image by all of them before the next.

    Args:
        methods: two or more; the first is what others are compared with. Those made with one pool share
            models, and what these compute of an image.
        data: from :func:`~fmbseg.evaluation.datasets.open_data`.
        protocol: as in :func:`~fmbseg.evaluation.evaluate.evaluate`.
        out: folder of the run, where a stopped run continues and the reports are written.
        names: ``raw``, ``clean`` or a file.
        part: the part of the set to measure; runs of all parts are joined by :func:`merge_comparisons`.
        limit: measure only this many images from the start of the set.
        pictures: how many images to show, those where one method is furthest ahead of another
            (:func:`apart_by`).
        lacking: methods that were asked for and cannot run here, with the reason, to be reported.
        progress: whether to show a bar.

    Raises:
        ValueError: fewer than two methods or one twice; a method that answers with other words than the
            set's; and as in :func:`~fmbseg.evaluation.evaluate.evaluate`.
        RunError: ``out`` holds another run, other files, or a damaged file.
        WouldReplaceError: ``out`` holds a report that fmbseg did not write, or another run is writing there.

    Example:
        The packaged head beside the dense map that its teacher has::

            pool = ModelPool()
            methods = [load_method(spec, pool) for spec in ("dense:conse", "offline")]
            comparison = compare(methods, open_data("folder", "photos/"), "own", out="runs/compared")
            print(comparison.to_markdown())
    """
    chosen = get_protocol(protocol) if isinstance(protocol, str) else protocol
    part = part or Part()
    _check_methods([method.spec for method in methods])
    samples = chosen_samples(data, part, limit)
    run = _described(methods, lacking or {}) | describe_run(data, chosen, names, part, limit)
    vocabulary, settings = chosen.vocabulary(data, names), chosen.settings(data)
    with RunFolder(Path(out), run, COMPARISON_FILES) as folder:
        todo = [one for one in samples if "error" in folder.rows.get(one.key, {"error": "not measured"})]
        drawn = DifferencePictures(folder.files, pictures, folder.rows)
        with Progress(shown=progress) as bars:
            each = bars.track(todo, data.name, len(samples), done=len(samples) - len(todo))
            for sample in each:
                row, draw = _measure(methods, data, sample, vocabulary, settings)
                if draw is not None:
                    drawn.offer(sample.key, row["apart"], draw)
                folder.add(row)  # last, so that a kill in between measures and draws the image again
        comparison = Comparison.of(run, [folder.rows[sample.key] for sample in samples])
        comparison.write(folder.files, drawn.scores)
    return comparison


def merge_comparisons(folders: Iterable[str | Path], out: str | Path, *, pictures: int = 6) -> Comparison:
    """Join the comparisons of several parts.

    Args:
        folders: of the runs.
        out: folder for the reports.
        pictures: how many images to show.

    Raises:
        RunError: runs of other methods, protocols or sets (the message says what differs), of the same
            part, or parts that are missing, not finished or damaged; or ``out`` holds another run.
    """
    paths = [Path(folder) for folder in folders]
    run, rows = joined(paths)
    if "methods" not in run:
        raise RunError(f"{paths[0]} is a run of `fmbseg eval`: join it by `fmbseg eval --merge`")
    with RunFolder(Path(out), run, COMPARISON_FILES) as folder:
        folder.take(rows)
        drawn = DifferencePictures(folder.files, pictures, folder.rows)
        drawn.take(paths, rows)
        comparison = Comparison.of(run, list(rows.values()))
        comparison.write(folder.files, drawn.scores)
    return comparison


def _check_methods(specs: Sequence[str]) -> None:
    if len(specs) < 2:
        raise ValueError(
            f"{len(specs)} method{'' if len(specs) == 1 else 's'} to compare: give two or more; "
            "`fmbseg eval` measures one"
        )
    twice = [spec for spec, count in Counter(specs).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is there twice: name each method once")


def _described(methods: Sequence[Method], lacking: Mapping[str, str]) -> dict[str, Any]:
    """The methods of a run, as JSON values."""
    told = {
        method.spec: {**method.describe(), "license": method.license, "models": list(method.models)}
        for method in methods
    }
    return {"order": list(told), "methods": told, "lacking": dict(lacking)}


def _measure(
    methods: Sequence[Method],
    data: SegmentationData,
    sample: Sample,
    vocabulary: Vocabulary,
    settings: SegmentSettings,
) -> tuple[dict[str, Any], Callable[[int], Image.Image] | None]:
    """One image's line, and what draws its picture of a given side; no picture if it could not be read."""
    try:
        image, target = data.load(sample)
    except (ImageError, DataSetError) as error:
        return {"key": sample.key, "error": str(error)}, None
    rows: dict[str, Any] = {}
    results = []
    for method in methods:
        with Cost() as cost:
            result = segmented(method, image, target, data, vocabulary, settings)
        rows[method.spec] = {
            **counted(result, target, data),
            "seconds": round(cost.seconds + method.saved_seconds, 4),
            "memory_mb": cost.memory_mb,
        }
        results.append(replace(result, similarities=None))  # maps of all methods would be large
    apart = apart_by([result.labels for result in results], target)
    return {"key": sample.key, "apart": apart, "methods": rows}, partial(_picture, results, target)


def apart_by(maps: Sequence[NDArray[np.integer]], target: NDArray[np.integer]) -> float | None:
    """How far the best of several methods is ahead of the next one that says as much, on one image.

    A pixel without a class tells nothing of what a method took it for: two methods are compared on the pixels
    that both give a class, by the share of those that they get right; and the larger that part of the image
    is, the more it tells. What counts is the pair that is furthest apart.

    Args:
        maps: (H, W) each, -1 where no class was given.
        target: (H, W), -1 where the pixel does not count.

    Returns:
        0 to 1; None where no pixel counts.

    Example:
        >>> target = np.array([[0, 0, 1, 1]])
        >>> apart_by([np.array([[0, 0, 1, 1]]), np.array([[0, 1, -1, -1]])], target)
        0.25
        >>> apart_by([np.array([[0, 0, 1, 1]]), np.array([[-1, -1, -1, -1]])], target)
        0.0
    """
    there = target >= 0
    if not there.any():
        return None
    given = [labels[there] >= 0 for labels in maps]
    right = [labels[there] == target[there] for labels in maps]
    leads = [
        abs(int((right[one] & both).sum()) - int((right[other] & both).sum()))
        for one, other in combinations(range(len(maps)), 2)
        for both in (given[one] & given[other],)
    ]
    return max(leads) / int(there.sum())


def _picture(results: Sequence[Segmentation], target: NDArray[np.int32], side: int) -> Image.Image:
    """The photograph, the ground truth and each method's classes, side by side, with their names."""
    first = results[0]
    shown = [target, *(result.labels for result in results)]
    if first.background != "none":  # background shows the photograph as it is
        shown = [np.where(labels == 0, np.int32(-1), labels) for labels in shown]
    chosen = ClassColours().of_map(*shown)
    drawn = [draw_classes(np.full_like(target, -1), chosen, first.image, max_side=side)]
    drawn += [draw_classes(labels, chosen, first.image, max_side=side) for labels in shown]
    maps = side_by_side(drawn, _GAP)
    named = [(one.name, one.colour) for one in classes_in(np.concatenate(shown), first.names, chosen)]
    return side_by_side([maps, draw_legend(named, maps.height, 2)])
