"""Training on the page: the run of ``fmbseg fit``, its loss, and old and new head side by side."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.alignment.reports import STEPS_FILE
from fmbseg.app.jobs import CommandJob, hub_arguments
from fmbseg.app.segmenting import LONGEST_SHOWN, Question
from fmbseg.drawing.classes import classes_in, draw_classes, fit_labels, shrink
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.layout import in_rows, side_by_side
from fmbseg.drawing.legend import draw_caption
from fmbseg.images import load_image
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.record import HAND_STAGE
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from fmbseg.app.place import Place
    from fmbseg.drawing.legend import Entry
    from fmbseg.labels.record import LabeledImage

STARTS = ("what suits the number of photographs", "the packaged head", "nothing")
"""What a training may start from, in the page's words."""
_START_OPTIONS: dict[str, list[str]] = {
    STARTS[0]: [],
    STARTS[1]: ["--start", "offline"],
    STARTS[2]: ["--from-scratch"],
}
_MOST_COMPARED = 8
_SIDE = 420
_GAP = 6


class TrainRun:
    """The training of a page: one head at a time.

    Args:
        place: folders and models.

    Attributes:
        out: folder of the head.
    """

    def __init__(self, place: Place) -> None:
        self._place, self.job, self.out = place, CommandJob(), Path()

    def start(self, labels: str, name: str, start: str, epochs: int) -> None:
        """Train a head from a label set.

        Args:
            labels: name of the label set.
            name: of the head.
            start: one of :data:`STARTS`, or the name of a head of the page.
            epochs: passes over the photographs; 0 for what suits.

        Raises:
            ValueError: a label set, head or name that is none, or a training that is not finished.
        """
        source, out = self._place.label_set(labels), self._place.new("heads", name)
        out.parent.mkdir(parents=True, exist_ok=True)
        options, environment = hub_arguments(self._place.pool.hub)
        begin = _START_OPTIONS[start] if start in STARTS else ["--start", str(self._place.head(start))]
        often = ["--epochs", str(int(epochs))] if epochs else []
        device = ["--device", str(self._place.pool.device)]
        self.job.start(
            ["fit", str(source), "--out", str(out), *begin, *often, *device, *options], environment
        )
        self.out = out

    def losses(self) -> list[tuple[int, float]]:
        """The loss of each batch so far, numbered from 1."""
        path = self.out / "logs" / STEPS_FILE
        if not self.out.name or not path.is_file():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [
                (number, float(row["loss"]))
                for number, row in enumerate(csv.DictReader(file), start=1)
                if row.get("loss")
            ]

    def state(self) -> str:
        """What to say of the training."""
        losses = self.losses()
        at = f"batch {losses[-1][0]}, loss {losses[-1][1]:.3f}" if losses else "no batch yet"
        if self.job.running:
            return f"training: {at}" if losses else "loading models and computing features"
        if not self.job.command:
            return "no training yet"
        last = self.job.lines[-1] if self.job.lines else "no message"
        if self.job.stopped:
            return f"stopped: {at}; no head was written"
        return f"failed: {last}" if self.job.failed else f"finished: {last}"


@dataclass(frozen=True)
class HeadsCompared:
    """Old and new head on the photographs of a label set.

    Args:
        pictures: photograph, labels, old and new beside one another, with captions, corrected ones first.
        told: how far each agrees with the labels, in a line.
    """

    pictures: list[tuple[Image.Image, str]]
    told: str


def compare_heads(place: Place, labels: str, old: str, new: str) -> HeadsCompared:
    """Segment the photographs that people corrected last, and others, with two heads.

    Args:
        place: folders and models.
        labels: name of the label set; its words are asked for.
        old: a choice of the page (see :meth:`fmbseg.app.place.Place.choices`).
        new: another.
    """
    source = LabelSet(place.label_set(labels))
    specs = (place.spec(old), place.spec(new))
    words = tuple(source.vocabulary.names)
    chosen = _chosen(source)
    agreed: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
    pictures = []
    for record in chosen:
        image = shrink(load_image(source.photograph_of(record)), LONGEST_SHOWN)
        maps = [_map(place, image, Question(words, spec)) for spec in specs]
        truth = fit_labels(record.label_map(kept_only=False), image.shape[:2])
        known = truth >= 0
        first, second = (int((one == truth)[known].sum()) for one in maps)
        agreed[is_corrected(record)].append((int(known.sum()), first, second))
        mark = "corrected" if is_corrected(record) else "not corrected"
        pictures.append((_drawn(image, (truth, *maps), words, (old, new)), f"{record.path} ({mark})"))
    return HeadsCompared(pictures, _told(agreed, old, new))


def is_corrected(record: LabeledImage) -> bool:
    """Whether a person drew or named a mask of a photograph."""
    return bool(np.any(record.stages == HAND_STAGE))


def _chosen(source: LabelSet) -> list[LabeledImage]:
    """The corrected photographs and as many others, :data:`_MOST_COMPARED` at most."""
    corrected: list[LabeledImage] = []
    others: list[LabeledImage] = []
    for record in source:
        kind = corrected if is_corrected(record) else others
        if len(kind) < _MOST_COMPARED:
            kind.append(record)
    half = _MOST_COMPARED // 2
    return [*corrected[: max(half, _MOST_COMPARED - len(others))], *others][:_MOST_COMPARED]


def _map(place: Place, image: NDArray[np.uint8], asked: Question) -> NDArray[np.integer]:
    """Positions in the words; -1 for background and unknown."""
    with place.lock:
        method = place.method(asked.method)
        result = method.segment(image, Vocabulary.of(list(asked.words)), settings=asked.settings)
    at = {name: index for index, name in enumerate(asked.words)}
    table = np.array([*(at.get(name, -1) for name in result.names), -1])  # the last one is for unknown, -1
    found: NDArray[np.integer] = table[result.labels]
    return found


def _drawn(
    image: NDArray[np.uint8],
    maps: Sequence[NDArray[np.integer]],
    names: Sequence[str],
    heads: tuple[str, str],
) -> Image.Image:
    """The labels and both heads' maps side by side, with captions; the classes in one row of colours."""
    colours = ClassColours().of_map(*maps)
    captions = ("labels", f"old: {heads[0]}", f"new: {heads[1]}")
    cells = []
    for one, caption in zip(maps, captions, strict=True):
        cell = draw_classes(one, colours, image, max_side=_SIDE)
        shown: list[Entry] = [(each.name, each.colour) for each in classes_in(one, names, colours)]
        cells.append(in_rows([cell, draw_caption(caption, shown, cell.width)], 1, 0))
    return side_by_side(cells, gap=_GAP)


def _told(agreed: dict[bool, list[tuple[int, int, int]]], old: str, new: str) -> str:
    parts = []
    for corrected, name in ((True, "corrected"), (False, "not corrected")):
        pixels, first, second = np.array(agreed[corrected] or [(0, 0, 0)]).sum(axis=0)
        if pixels:
            count = len(agreed[corrected])
            parts.append(f"{name} ({count}): {old} {first / pixels:.0%}, {new} {second / pixels:.0%}")
    return "labelled pixels that are named as in the labels, " + ("; ".join(parts) or "none")
