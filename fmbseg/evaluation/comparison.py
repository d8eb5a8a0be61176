"""What a comparison found: figures with intervals, paired differences, classes, costs; its three reports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.checksums import sealed
from fmbseg.drawing.pages import render_page
from fmbseg.escaping import markdown, markdown_table
from fmbseg.evaluation.image_counts import ImageCounts
from fmbseg.evaluation.intervals import interval
from fmbseg.evaluation.metrics import number
from fmbseg.evaluation.pictures import picture_name
from fmbseg.evaluation.report import EvaluationReport, percent, told_interval
from fmbseg.files import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.written import WrittenFiles

COMPARISON_FILE = "comparison.json"
COMPARISON_FILES = (COMPARISON_FILE, "comparison.md", "comparison.html")
NOTE = (
    "Figures in %. Intervals hold 90 % of draws of the photographs, with replacement; differences are those "
    "of the same draws, and those whose interval does not hold 0 have a star. Of classes shown: mIoU without "
    "the classes that no photograph shows, which otherwise count 0 where a method gives them. Small: mean "
    "class accuracy in connected components below 32 x 32 pixels. Seconds: the median photograph, as if the "
    "method ran alone. MB: most by which memory grew during a photograph, models not counted."
)
_HEADS = (
    *("method", "mIoU", "90 % interval", "over the first", "of classes shown", "pixel accuracy"),
    *("boundary IoU", "small"),
    *("s/image", "MB"),
)
_CLASSES_SHOWN = 12
_LEAST_SHOWN = 5
"""Photographs that must show a class before one method is surely better at it: draws of one are all alike."""


@dataclass(frozen=True)
class Compared:
    """One method's part of a comparison.

    Args:
        spec: of the method.
        report: all that ``fmbseg eval`` would report.
        over_first: for each figure with an interval, the difference to the first method, and its interval;
            empty for the first itself.
        seconds: of the median photograph, as if the method ran alone.
        memory_mb: most that memory grew by during a photograph; None where that is not known.
    """

    spec: str
    report: EvaluationReport
    over_first: Mapping[str, tuple[float, float, float] | None]
    seconds: float | None
    memory_mb: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        report = self.report.to_dict()
        kept = {name: report[name] for name in ("model", "figures", "intervals", "per_class", "images")}
        over = {name: found and list(found) for name, found in self.over_first.items()}
        return {
            "method": self.spec,
            **kept,
            "over_first": over,
            "seconds": self.seconds,
            "memory_mb": self.memory_mb,
        }


@dataclass(frozen=True)
class Won:
    """A class and the method that has its highest IoU.

    Args:
        name: of the class.
        spec: of the method.
        iou: its IoU.
        lead: over the next best method.
        sure: whether the lead is above 0 in 95 % of the draws, and five photographs or more show the class.
    """

    name: str
    spec: str
    iou: float
    lead: float
    sure: bool


@dataclass(frozen=True)
class Comparison:
    """Methods side by side on one set.

    Args:
        methods: in the order in which they were named.
        lacking: methods that could not run, with the reason.
        won: the classes of the ground truth by the method that is best at them, largest lead first.
    """

    methods: tuple[Compared, ...]
    lacking: Mapping[str, str]
    won: tuple[Won, ...]

    @classmethod
    def of(cls, run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Comparison:
        """Add up the lines of a run's images."""
        names = run["data"]["classes"]
        found: list[Compared] = []
        counts: dict[str, ImageCounts] = {}
        for spec in run["order"]:
            model = run["methods"][spec]
            of_method = [_of_method(row, spec) for row in rows]
            measured = [row for row in of_method if "error" not in row]
            counts[spec] = ImageCounts.of(measured, len(names))
            memory = [row["memory_mb"] for row in measured if row["memory_mb"] is not None]
            report = EvaluationReport.of({**run, "model": model}, of_method)
            found.append(
                Compared(
                    spec,
                    report,
                    _over(report, counts[spec], found[0].report, next(iter(counts.values())))
                    if found
                    else {},
                    float(np.median([row["seconds"] for row in measured])) if measured else None,
                    max(memory, default=None),
                )
            )
        won = _won(found, counts) if found[0].report.measured else []
        return cls(tuple(found), dict(run["lacking"]), tuple(won))

    @property
    def first(self) -> EvaluationReport:
        """The first method's report, which tells of the set and the protocol."""
        return self.methods[0].report

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        first = self.first.to_dict()
        kept = {name: first[name] for name in ("data", "protocol", "part", "measured", "failures")}
        return {
            "schema_version": 1,
            **kept,
            "methods": [one.to_dict() for one in self.methods],
            "lacking": dict(self.lacking),
            "won": [
                {"class": one.name, "method": one.spec, "iou": one.iou, "lead": one.lead, "sure": one.sure}
                for one in self.won
            ],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """The table: one row a method, and one for each that could not run."""
        return [self._row(one) for one in self.methods] + [
            (spec, "could not run", *[""] * (len(_HEADS) - 2)) for spec in self.lacking
        ]

    def _row(self, one: Compared) -> tuple[str, ...]:
        figures, ends = one.report.figures, one.report.intervals
        over = one.over_first.get("miou")
        return (
            one.spec,
            percent(figures["miou"]),
            told_interval(ends.get("miou")),
            "" if over is None else _told_difference(over),
            percent(figures["miou_present"]),
            percent(figures["pixel_accuracy"]),
            percent(figures["boundary_iou"]),
            percent(figures["accuracy_small"]),
            "" if one.seconds is None else f"{one.seconds:.2f}",
            "" if one.memory_mb is None else f"{one.memory_mb:.0f}",
        )

    def wins(self) -> list[tuple[str, str, str]]:
        """Of each method the number of classes that it is best at, of how many surely, and which."""
        told = []
        for method in self.methods:
            of_method = [one for one in self.won if one.spec == method.spec]
            sure = [one for one in of_method if one.sure]
            shown = [
                f"{one.name} (+{percent(one.lead)}{', sure' if one.sure else ''})"
                for one in of_method[:_CLASSES_SHOWN]
            ]
            more = len(of_method) - len(shown)
            text = ", ".join(shown) + (f" and {more} more" if more else "")
            told.append((method.spec, f"{len(of_method)} ({len(sure)} surely)", text))
        return told

    def to_markdown(self) -> str:
        """The table, the classes, and the choices of each method."""
        parts = [f"# {markdown(self.first.title())}: {len(self.methods)} methods"]
        parts += [
            f"**{markdown(spec)} could not run:** {markdown(why)}" for spec, why in self.lacking.items()
        ]
        if self.first.failures:
            listed = "\n".join(
                f"- {markdown(one['key'])}: {markdown(one['error'])}" for one in self.first.failures
            )
            parts += [f"**{len(self.first.failures)} images could not be read:**", listed]
        parts += [markdown_table(_HEADS, self.rows()), NOTE, "## Classes that each is best at"]
        parts.append(markdown_table(("method", "classes", "by most"), self.wins()))
        parts.append("## How it was measured")
        parts.append(markdown_table(("choice", *(one.spec for one in self.methods)), self._choices()))
        return "\n\n".join(parts) + "\n"

    def _choices(self) -> list[tuple[str, ...]]:
        each = [dict(one.report.choices()) for one in self.methods]
        return [(name, *(one.get(name, "") for one in each)) for name in each[0]]

    def write(self, files: WrittenFiles, pictures: Mapping[str, float]) -> None:
        """Write ``comparison.json``, ``comparison.md`` and ``comparison.html``.

        Args:
            files: writes to the run's folder.
            pictures: how far apart methods are on each image that has a picture there, by key.
        """
        told = json.dumps(sealed(self.to_dict()), indent=2, ensure_ascii=False)
        files.write(COMPARISON_FILE, encode(told + "\n"))
        files.write("comparison.md", encode(self.to_markdown()))
        files.write("comparison.html", encode(self._page(files.folder, pictures)))

    def _page(self, run: Path, apart: Mapping[str, float]) -> str:
        order = sorted(apart, key=lambda key: (-apart[key], key))
        shown = [(self._caption(key, apart[key]), (run / picture_name(key)).read_bytes()) for key in order]
        return render_page(
            "fmbseg.evaluation",
            "comparison.html",
            title=self.first.title(),
            failures=self.first.failures,
            lacking=list(self.lacking.items()),
            heads=_HEADS,
            rows=self.rows(),
            note=NOTE,
            wins=self.wins(),
            methods=[one.spec for one in self.methods],
            choices=self._choices(),
            pictures=shown,
        )

    def _caption(self, key: str, share: float) -> str:
        each = ", ".join(f"{one.spec} {percent(one.report.images.get(key))}" for one in self.methods)
        return f"{key}: one method has {percent(share)} % more of the pixels right; mIoU: {each}"


def _of_method(row: Mapping[str, Any], spec: str) -> Mapping[str, Any]:
    return row if "error" in row else {"key": row["key"], **row["methods"][spec]}


def _over(
    report: EvaluationReport, counts: ImageCounts, first: EvaluationReport, of_first: ImageCounts
) -> dict[str, tuple[float, float, float] | None]:
    over: dict[str, tuple[float, float, float] | None] = {}
    for name, drawn in counts.drawn.items():
        here, there = report.figures[name], first.figures[name]
        ends = interval(drawn - of_first.drawn[name])
        if here is None or there is None or number(ends.low) is None:
            over[name] = None
        else:
            over[name] = here - there, ends.low, ends.high
    return over


def _won(found: Sequence[Compared], counts: Mapping[str, ImageCounts]) -> list[Won]:
    drawn = [counts[one.spec].drawn_ious() for one in found]
    rows = [one.report.per_class for one in found]
    showing = (next(iter(counts.values())).pixels[..., 1] > 0).sum(axis=0)
    won = []
    for index, first in enumerate(rows[0]):
        if not first["pixels"]:
            continue
        ious = np.array([row[index]["iou"] or 0.0 for row in rows])
        best, second = (int(place) for place in np.argsort(-ious, kind="stable")[:2])
        if ious[best] == ious[second]:
            continue
        lead: NDArray[np.float64] = drawn[best][:, index] - drawn[second][:, index]
        won.append(
            Won(
                first["class"],
                found[best].spec,
                float(ious[best]),
                float(ious[best] - ious[second]),
                bool(interval(lead).low > 0 and showing[index] >= _LEAST_SHOWN),
            )
        )
    return sorted(won, key=lambda one: -one.lead)


def _told_difference(over: tuple[float, float, float]) -> str:
    value, low, high = over
    told = f"{100 * value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    return told + (" *" if low > 0 or high < 0 else "")
