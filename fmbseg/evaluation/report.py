"""A run's figures with every choice that they depend on, as JSON, Markdown and an HTML page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import sealed
from fmbseg.drawing.pages import render_page
from fmbseg.escaping import markdown, markdown_table
from fmbseg.evaluation.image_counts import ImageCounts
from fmbseg.evaluation.metrics import SegmentationMetrics, number
from fmbseg.evaluation.pictures import picture_name, worst_and_best
from fmbseg.files import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fmbseg.written import WrittenFiles

REPORT_FILE = "report.json"
REPORT_FILES = (REPORT_FILE, "report.md", "report.html")
TITLES = {
    "miou": "mIoU",
    "miou_present": "mIoU of the classes in the ground truth",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean class accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "boundary_iou": "boundary IoU",
    "accuracy_small": "class accuracy in small components",
    "accuracy_medium": "class accuracy in medium components",
    "accuracy_large": "class accuracy in large components",
    "unknown": "pixels given no class (unknown)",
    "accuracy_of_known": "pixel accuracy of the others",
}

_TOLD = ("hubness", "instead", "stage 1")
"""What a model says of itself that other rows tell, or that is too long for one."""

_FIGURE_HEADS = ("figure", "%", "90 % interval")
_CLASS_HEADS = ("class", "IoU", "accuracy", "boundary IoU", "pixels")


@dataclass(frozen=True)
class EvaluationReport:
    """What was measured, how, and what came out.

    Args:
        model: what was measured.
        data: the data set: name, split, classes, and the number of images requested.
        protocol: every choice that the figures depend on.
        part: which part of the set, and of how many.
        measured: images in the figures.
        failures: key and error of each image that could not be read and is not in the figures.
        figures: from 0 to 1; None where there was nothing to average.
        intervals: of some figures, where 90 % of draws of the images lie (see
            :mod:`fmbseg.evaluation.intervals`); None where there was nothing to average.
        per_class: one row per class.
        images: mIoU of each image over the classes in its ground truth, by key; None where nothing counts.
        devices: where they were computed, as far as known.
    """

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    protocol: Mapping[str, Any]
    part: tuple[int, int]
    measured: int
    failures: tuple[Mapping[str, str], ...]
    figures: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float] | None]
    per_class: tuple[Mapping[str, Any], ...]
    images: Mapping[str, float | None]
    devices: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> EvaluationReport:
        """Add up the lines of a run's images."""
        names = run["data"]["classes"]
        metrics = SegmentationMetrics(len(names))
        counted = [row for row in rows if "error" not in row]
        for row in counted:
            metrics.merge(SegmentationMetrics.from_row(len(names), row))
        return cls(
            model=run["model"],
            data={key: value for key, value in run["data"].items() if key != "keys"},
            protocol=run["protocol"],
            part=(run["part"][0], run["part"][1]),
            measured=len(counted),
            failures=tuple({"key": row["key"], "error": row["error"]} for row in rows if "error" in row),
            figures={name: number(value) for name, value in metrics.figures().items()},
            intervals=intervals_of(counted, len(names)),
            per_class=tuple(metrics.per_class(names)),
            images={row["key"]: row["miou"] for row in counted},
            devices=tuple(sorted({row["device"] for row in counted if "device" in row})),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema_version": 1,
            "model": dict(self.model),
            "data": dict(self.data),
            "protocol": dict(self.protocol),
            "part": list(self.part),
            "measured": self.measured,
            "devices": list(self.devices),
            "failures": [dict(failure) for failure in self.failures],
            "figures": dict(self.figures),
            "intervals": {name: ends and list(ends) for name, ends in self.intervals.items()},
            "per_class": [dict(row) for row in self.per_class],
            "images": dict(self.images),
        }

    def to_markdown(self) -> str:
        """Figures, choices and the table of classes."""
        parts = [f"# {markdown(self.title())}"]
        if self.failures:
            parts += [
                f"**{len(self.failures)} images could not be read and are not in the figures:**",
                "\n".join(f"- {markdown(one['key'])}: {markdown(one['error'])}" for one in self.failures),
            ]
        parts += [markdown_table(_FIGURE_HEADS, self._figure_rows()), "## How it was measured"]
        parts += [markdown_table(("choice", "value"), self.choices()), "## Classes"]
        parts.append(markdown_table(_CLASS_HEADS, self._class_rows()))
        return "\n\n".join(parts) + "\n"

    def _figure_rows(self) -> list[tuple[str, str, str]]:
        return [
            (TITLES[name], percent(value), told_interval(self.intervals.get(name)))
            for name, value in self.figures.items()
        ]

    def _class_rows(self) -> list[tuple[str, ...]]:
        columns = ("iou", "accuracy", "boundary_iou")
        return [
            (row["class"], *(percent(row[name]) for name in columns), str(row["pixels"]))
            for row in self.per_class
        ]

    def title(self) -> str:
        """Data set and protocol in a few words."""
        return f"{self.data['name']}, protocol {self.protocol['name']}"

    def choices(self) -> list[tuple[str, str]]:
        """Every choice that the figures depend on, as text."""
        data, protocol = self.data, self.protocol
        window = protocol["window"]
        windows = "the whole image" if window is None else f"{window} px, step {protocol['step']} px"
        part = "" if self.part == (1, 1) else f", part {self.part[0]} of {self.part[1]}"
        whole = "" if data["images"] == data["of"] else f", the first {data['images']} of {data['of']}"
        chosen = [
            ("model", ", ".join(f"{key} {value}" for key, value in self.model.items() if key not in _TOLD)),
            ("images", f"{self.measured} of {data['name']} {data['split']}{whole}{part}"),
            ("classes", f"{protocol['class_count']} ({protocol['prompted_words']} with words of their own)"),
            ("background", protocol["background"]),
            ("threshold", "none" if protocol["threshold"] is None else f"{protocol['threshold']:g}"),
            ("names", protocol["names"]),
            ("templates", "; ".join(protocol["templates"])),
            ("resolution", f"short side {protocol['short_side']} px; figures at the masks' own size"),
            ("windows", windows),
            ("hubness", _hubness(protocol.get("hubness", 0.0), self.model.get("hubness"))),
            ("scales", ", ".join(f"{scale:g}" for scale in protocol.get("scales", [1.0]))),
            ("mirrored too", "yes" if protocol["mirror"] else "no"),
            ("knowledge preservation", _given(protocol.get("preserve"))),
            ("refinement", _given(protocol["refine"])),
            ("computed on", ", ".join(self.devices) or "unknown"),
        ]
        instead = self.model.get("instead", {})
        return [(name, instead.get(name, value)) for name, value in chosen]

    def write(self, files: WrittenFiles, pictures: Mapping[str, float]) -> None:
        """Write ``report.json``, ``report.md`` and ``report.html``.

        Args:
            files: writes to the run's folder.
            pictures: mIoU of each image that has a picture there, by key.
        """
        told = json.dumps(sealed(self.to_dict()), indent=2, ensure_ascii=False)
        files.write(REPORT_FILE, encode(told + "\n"))
        files.write("report.md", encode(self.to_markdown()))
        files.write("report.html", encode(self._page(files.folder, pictures)))

    def _page(self, run: Path, scores: Mapping[str, float]) -> str:
        worst, best = worst_and_best(scores, len(scores))
        pictures = [
            (
                heading,
                [
                    (f"{key}: mIoU {percent(scores[key])} %", (run / picture_name(key)).read_bytes())
                    for key in keys
                ],
            )
            for heading, keys in (("Worst images", worst), ("Best images", best))
        ]
        return render_page(
            "fmbseg.evaluation",
            "report.html",
            title=self.title(),
            failures=self.failures,
            figure_heads=_FIGURE_HEADS,
            figures=self._figure_rows(),
            choices=self.choices(),
            pictures=pictures,
            class_heads=_CLASS_HEADS,
            classes=self._class_rows(),
        )


def intervals_of(rows: Sequence[Mapping[str, Any]], classes: int) -> dict[str, tuple[float, float] | None]:
    """Where 90 % of draws of measured images lie, for each figure that has an interval; None for nan."""
    if not rows:
        return {}
    found = ImageCounts.of(rows, classes).intervals()
    return {name: None if number(ends.low) is None else (ends.low, ends.high) for name, ends in found.items()}


def told_interval(ends: Sequence[float] | None) -> str:
    """An interval in percent.

    Example:
        >>> told_interval((0.15, 0.1912)), told_interval(None)
        ('15.00 to 19.12', '')
    """
    return "" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"


def _hubness(chosen: float | str, of_head: float | None) -> str:
    """The weight, and whether the protocol or the head chose it."""
    return f"{of_head:g}, {chosen}" if isinstance(chosen, str) and of_head is not None else str(chosen)


def _given(choice: Any) -> str:
    return "none" if choice is None else json.dumps(choice)


def percent(value: float | None) -> str:
    """A figure as a percentage with two decimals, as is usual for benchmarks.

    Example:
        >>> percent(0.67734), percent(None)
        ('67.73', 'none')
    """
    return "none" if value is None else f"{100 * value:.2f}"
