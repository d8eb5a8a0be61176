"""Measuring on an engine: workers segment and count, and draw the few images whose pictures are kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.engines.watch import Watch
from fmbseg.evaluation.evaluate import Measurer, chosen_samples, describe_run
from fmbseg.evaluation.journal import RunFolder
from fmbseg.evaluation.pictures import LONGEST_SIDE, RunPictures
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.evaluation.report import REPORT_FILES, EvaluationReport
from fmbseg.part import Part
from fmbseg.progress import Progress
from fmbseg.reasons import Reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

    from fmbseg.engines.crew import Crew
    from fmbseg.engines.engine import Engine
    from fmbseg.evaluation.datasets import Sample, SegmentationData
    from fmbseg.evaluation.protocols import Protocol as EvaluationProtocol
    from fmbseg.method import Segmenter

_CHUNK = 8


@dataclass(frozen=True)
class EvaluateWork:
    """Makes a worker; picklable.

    Args:
        make: makes what is measured.
        data: the set, where every worker finds it.
        protocol: how it is measured.
        names: see :meth:`Protocol.vocabulary`.
    """

    make: Callable[[], Segmenter]
    data: SegmentationData
    protocol: EvaluationProtocol
    names: str

    def __call__(self) -> Callable[[Any, Callable[[int], None]], Any]:
        """Load what is measured; the worker describes it, or measures or draws images."""
        segmenter = self.make()
        vocabulary = self.protocol.vocabulary(self.data, self.names)
        measurer = Measurer(segmenter, self.data, vocabulary, self.protocol.settings(self.data))

        def work(unit: tuple[str, Sequence[Sample]], tell: Callable[[int], None]) -> Any:
            what, samples = unit
            if what == "describe":
                return segmenter.describe()
            found: list[Any] = []
            for row, result, target in measurer.each(samples):
                if what == "measure":
                    found.append(row)
                elif result is not None and target is not None:
                    found.append((row["key"], row["miou"], result.compare(target, LONGEST_SIDE)))
                tell(1)
            return found

        return work


def evaluate_on(
    engine: Engine,
    make: Callable[[], Segmenter],
    data: SegmentationData,
    protocol: str | EvaluationProtocol = "paper",
    *,
    out: str | Path,
    names: str = "raw",
    part: Part | None = None,
    limit: int | None = None,
    pictures: int = 4,
    device: str | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Measure on an engine, as :func:`~fmbseg.evaluation.evaluate.evaluate` does in this process.

    Args:
        engine: that does the work.
        make: makes what is measured, in each worker; picklable, such as
            ``partial(OpenVocabSegmenter.from_pretrained, "head/")``.
        data: that every worker finds under the same paths.
        protocol: as in ``evaluate``, like all that follows.
        out: folder of the run.
        names: of the classes.
        part: of the set.
        limit: images from the start of the set.
        pictures: of the worst and of the best images.
        device: that was asked for.
        progress: whether to show a bar.

    Raises:
        EngineError: no worker is fit.
        WorkFailedError: images failed on every try, for other reasons than their files.
        RunError: as ``evaluate`` raises it, like others.
    """
    chosen = get_protocol(protocol) if isinstance(protocol, str) else protocol
    part = part or Part()
    samples = chosen_samples(data, part, limit)
    with (
        Progress(progress) as bars,
        engine.crew(EvaluateWork(make, data, chosen, names), device=device) as crew,
    ):
        crew.note = bars.note
        ((_, model),) = crew.map([("describe", [])])
        run = {"model": model, **describe_run(data, chosen, names, part, limit)}
        with RunFolder(Path(out), run, REPORT_FILES) as folder:
            todo = [one for one in samples if "error" in folder.rows.get(one.key, {"error": "not measured"})]
            bar = bars.bar(data.name, len(samples), done=len(samples) - len(todo))
            _measure(crew, todo, folder, Watch(bars, bar, crew))
            drawn = RunPictures(folder.files, pictures, folder.rows)
            _draw(crew, samples, folder, drawn)
            report = EvaluationReport.of(run, [folder.rows[sample.key] for sample in samples])
            report.write(folder.files, drawn.scores)
    return report


def _measure(crew: Crew, todo: Sequence[Sample], folder: RunFolder, watch: Watch) -> None:
    chunks = [("measure", todo[start : start + _CHUNK]) for start in range(0, len(todo), _CHUNK)]
    for _, rows in crew.map(chunks):
        failures = Reasons()
        for row in rows:
            folder.add(row)
            if "error" in row:
                failures.note(row["key"], row["error"])
        watch.done(len(rows), failures)


def _draw(crew: Crew, samples: Sequence[Sample], folder: RunFolder, drawn: RunPictures) -> None:
    """Draw the images that are kept, now that all are measured."""
    scores = {key: row["miou"] for key, row in folder.rows.items() if row.get("miou") is not None}
    missing = drawn.chosen(scores) - drawn.scores.keys()
    for _, found in crew.map([("draw", [one]) for one in samples if one.key in missing]):
        for key, score, picture in found:
            drawn.offer(key, score, partial(_as_drawn, picture))


def _as_drawn(picture: Image, longest: int) -> Image:
    """A picture that a worker has drawn at that size."""
    del longest
    return picture
