"""Labelling on the page: an estimate from a few photographs, the run, and how far it is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.app.jobs import CommandJob, hub_arguments
from fmbseg.checksums import iterate_rows
from fmbseg.files import DamagedFileError
from fmbseg.images import ImageError
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.labels.claimed import JOURNAL
from fmbseg.labels.collection import LabelCollection
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import MANIFEST, read_manifest
from fmbseg.labels.shards import from_row
from fmbseg.labels.sheets import contact_sheet
from fmbseg.labels.status import status
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from fmbseg.app.place import Place
    from fmbseg.labels.record import LabeledImage

TRIED = 5
"""Photographs that an estimate is made from."""
_SHEET = 12


class LabellingRun:
    """The run of a page: one label set at a time.

    Args:
        place: folders and models.

    Attributes:
        out: folder of the label set.
    """

    def __init__(self, place: Place) -> None:
        self._place, self.job, self.out = place, CommandJob(), Path()
        self._labelers: dict[str, PseudoLabeler] = {}

    def start(self, folder: str, words: Sequence[str], recipe: str, name: str) -> None:
        """Begin a label set, or go on with it.

        Raises:
            ValueError: a folder or name that is none, no photograph, or a run that is not finished.
        """
        photographs = self._place.photograph_folder(folder)
        if not self._place.images_of(folder):
            raise ValueError(f"{folder}: no photograph is in it")
        out = self._place.new("labels", name)
        out.parent.mkdir(parents=True, exist_ok=True)
        options, environment = hub_arguments(self._place.pool.hub)
        quoted = ",".join(f'"{word}"' if "," in word else word for word in words)
        arguments = ["label", str(photographs), "--classes", quoted, "--recipe", recipe, "--out", str(out)]
        device = ["--device", str(self._place.pool.device)]
        self.job.start([*arguments, *device, *options], environment)
        self.out = out

    def pause(self) -> None:
        """Stop after what is written; :meth:`start` with the same values goes on."""
        self.job.stop()

    def estimate(self, folder: str, words: Sequence[str], recipe: str) -> str:
        """How long a folder will take, from :data:`TRIED` of its photographs, spread over it."""
        root, names = self._place.photograph_folder(folder), self._place.images_of(folder)
        if not names:
            raise ValueError(f"{folder}: no photograph is in it")
        vocabulary = Vocabulary.of(list(words))
        tried = [names[int(at)] for at in np.linspace(0, len(names) - 1, min(TRIED, len(names)))]
        with self._place.lock:
            if recipe not in self._labelers:
                pool = self._place.pool
                self._labelers = {recipe: PseudoLabeler(recipe, device=pool.device, hub=pool.hub)}
            labeler = self._labelers[recipe]
            seconds = []
            for name in tried:
                start = perf_counter()
                with suppress(ImageError):  # the run reports it, and goes on
                    labeler.label_image(root / name, vocabulary)
                    seconds.append(perf_counter() - start)
        if not seconds:
            raise ValueError(f"{folder}: none of {len(tried)} photographs can be read")
        each = median(seconds)  # the first one also waits for the models to load
        return (
            f"about {duration(each * len(names))} for {len(names)} photographs: {each:.1f} s each, "
            f"as {len(seconds)} of them took"
        )

    def state(self) -> tuple[str, int, int]:
        """What to say of the run, and how many of how many photographs are done."""
        begun = self.out.name and (self.out / MANIFEST).is_file()
        found = status(self.out) if begun else None
        done, count = (0, 0) if found is None else (found.photographs, found.all_photographs)
        so_far = f"{done} of {count} photographs"
        if self.job.running:
            if found is None:
                return "loading the models", done, count
            rate, left = found.rate, found.left
            told = f", {rate:.2f} a second, about {duration(left)} left" if rate and left is not None else ""
            return f"labelling: {so_far}{told}", done, count
        if self.job.failed:
            return f"failed: {self.job.lines[-1] if self.job.lines else 'no message'}", done, count
        if not self.job.command:
            return "no run yet", done, count
        if done < count or self.job.stopped:
            return f"paused: {so_far}; Start goes on", done, count
        return f"finished: {so_far} in {self.out.name}", done, count

    def sheet(self) -> Image.Image | None:
        """The labels so far; None where there are none."""
        labels = labels_of(self.out) if self.out.name else None
        return contact_sheet(labels, count=_SHEET, columns=2) if labels is not None and len(labels) else None


def duration(seconds: float) -> str:
    """In the largest unit of which there is one or more.

    Example:
        >>> duration(0.4), duration(42), duration(200), duration(8000)
        ('1 s', '42 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def labels_of(folder: Path) -> LabelCollection | None:
    """The labels of a folder, finished or not; None where there are none yet."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return LabelSet(folder)
    except FileNotFoundError:
        return LabelsSoFar(folder)


def _journal(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        for found, _, _ in iterate_rows(folder / JOURNAL):
            yield found["row"]
    except (FileNotFoundError, DamagedFileError):  # it became a shard meanwhile
        return


class LabelsSoFar(LabelCollection):
    """The photographs that a run of ``fmbseg label`` has labelled since its last finished shard.

    Args:
        folder: of the label set, finished or not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, read_manifest(folder)
        self.count = int(self.manifest["images"]["count"])

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return Vocabulary.from_dict(self.manifest["vocabulary"])

    @property
    def root(self) -> Path:
        """Folder that the photographs' paths start from."""
        return Path(self.manifest["root"])

    @property
    def fingerprint(self) -> str:
        """Of the manifest alone, for more is to come."""
        return str(self.manifest["hash"])

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings."""
        return {key: self.manifest.get(key, {}) for key in ("models", "settings")}

    def __len__(self) -> int:
        return sum(1 for _ in self._rows())

    def __iter__(self) -> Iterator[LabeledImage]:
        for row in self._rows():
            yield from_row(row)

    def _rows(self) -> Iterator[dict[str, Any]]:
        return (row for row in _journal(self.folder) if "error" not in row)
