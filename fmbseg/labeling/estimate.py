"""What labelling many photographs would take, measured on a few of them; nothing is kept."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from fmbseg.labeling.image_labels import ImageLabels
from fmbseg.labeling.pipeline import label_files
from fmbseg.labels.claimed import Claimed, write_whole_shard
from fmbseg.labels.manifest import new_manifest
from fmbseg.reasons import Reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fmbseg.labeling.image_labels import ImageLabelSource
    from fmbseg.labeling.shard_work import Labeler
    from fmbseg.labels.record import LabeledImage
    from fmbseg.sources.contract import Source
    from fmbseg.vocabulary import Vocabulary

_DRAWS = 2000
_MILLION = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """What was measured.

    Attributes:
        photographs: to be labelled in all.
        start: seconds until the first photograph was labelled, models loaded before.
        seconds: that each later photograph of the sample took.
        bytes: of the sample's labels on disk.
        failures: photographs of the sample that could not be labelled.

    Example:
        >>> measured = Estimate(3600, 2.0, (1.0, 3.0), 4000, Reasons())
        >>> measured.hours(), measured.hours(workers=4), measured.gigabytes(1_000_000)
        (2.0, 0.5, 2.0)
    """

    photographs: int
    start: float
    seconds: tuple[float, ...]
    bytes: int
    failures: Reasons

    @property
    def mean(self) -> float:
        """Seconds a photograph."""
        return mean(self.seconds)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean, 90 %, the photographs drawn anew."""
        drawn = random.Random(0)  # noqa: S311 - not a secret
        means = [mean(drawn.choices(self.seconds, k=len(self.seconds))) for _ in range(_DRAWS)]
        cuts = quantiles(means, n=20)
        return cuts[0], cuts[-1]

    def hours(self, photographs: int | None = None, *, workers: int = 1) -> float:
        """Hours for so many photographs, or all, by workers like the one that was measured."""
        count = self.photographs if photographs is None else photographs
        return self.mean * count / 3600 / workers

    def gigabytes(self, photographs: int | None = None) -> float:
        """Gigabytes (1e9 bytes) of labels of so many photographs, or all."""
        count = self.photographs if photographs is None else photographs
        return self.bytes / len(self.seconds) * count / 1e9

    def told(self, workers: Sequence[int], price: float | None = None) -> str:
        """All of it, in lines for people.

        Args:
            workers: numbers of workers to tell the hours of.
            price: of an hour of a machine that runs one worker.
        """
        low, high = self.interval
        each = sorted(self.seconds)
        took = (
            f"{len(self.seconds)} of {self.photographs} photographs: {self.mean:.3g} s each (90 %: "
            f"{low:.3g} to {high:.3g}; from {each[0]:.3g} to {each[-1]:.3g}), the first after "
            f"{self.start:.3g} s"
        )
        hours = ", ".join(f"{_hours(self.hours(workers=count))} with {_workers(count)}" for count in workers)
        million = self.hours(_MILLION)
        cost = "" if price is None else f", {million * price:.4g} at {price:g} a machine hour"
        lines = [
            took,
            f"all {self.photographs}: {hours}; {_size(self.gigabytes())} of labels",
            f"a million: {million:.4g} worker hours{cost}; {_size(self.gigabytes(_MILLION))} of labels",
        ]
        return "\n".join([*lines, *filter(None, [str(self.failures)])])


def estimate(
    labeler: Labeler,
    photographs: Source,
    vocabulary: Vocabulary,
    *,
    image_labels: ImageLabelSource | None = None,
    sample: int = 20,
    workers: int = 1,
) -> Estimate:
    """Label some photographs, spread evenly over all, and measure; the labels go to a temporary folder.

    One more is labelled first, whose time is told apart: it includes what is done once.

    Args:
        labeler: labels them.
        photographs: all of them.
        vocabulary: the classes to look for.
        image_labels: the classes that photographs are known to show.
        sample: how many are measured, at most.
        workers: photographs labelled at once.

    Raises:
        ValueError: ``sample`` is below 2.
    """
    if sample < 2:
        raise ValueError(f"sample is {sample}: to tell a spread, it must be 2 photographs or more")
    paths = photographs.keys()
    known = ImageLabels(image_labels or {}, vocabulary, photographs.root, paths)
    count = min(sample, len(paths))
    chosen = [paths[(2 * index + 1) * len(paths) // (2 * count)] for index in range(count)]
    steps, started = labeler.way.steps(vocabulary, len(paths)), perf_counter()
    seconds: list[float] = []
    failures = Reasons()

    def labelled(names: Sequence[str]) -> Iterator[tuple[str, LabeledImage | str]]:
        with closing(label_files(photographs, names, steps, present=known.of, workers=workers)) as results:
            last = perf_counter()
            for path, result in results:
                seconds.append(perf_counter() - last)
                if isinstance(result, str):
                    failures.note(path, result)
                yield path, result
                last = perf_counter()

    list(labelled(chosen[:1]))
    first = perf_counter() - started
    seconds.clear()
    failures.clear()
    manifest = new_manifest(
        vocabulary, count=count, shard_size=count, root=photographs.root, **labeler.origin
    )
    with TemporaryDirectory() as folder, Claimed(folder, manifest) as claimed:
        write_whole_shard(folder, claimed.manifest, 0, labelled(chosen))
        size = sum(one.stat().st_size for one in Path(folder).glob("*.parquet"))
    return Estimate(len(paths), first, tuple(seconds), size, failures)


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    if hours < 1:
        return f"{hours * 60:.2g} min"
    return f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.3g} days"


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _size(gigabytes: float) -> str:
    return f"{gigabytes:.3g} GB" if gigabytes >= 1 else f"{gigabytes * 1000:.3g} MB"
