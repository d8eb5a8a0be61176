"""The demo's report: one self-contained HTML file, for screens, phones and paper, light or dark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.drawing.pages import render_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.demo.panels import Panel


@dataclass(frozen=True)
class Row:
    """One photograph of the report.

    Attributes:
        path: of the photograph.
        credit: who made it; may be empty.
        found: names of the classes that Stage 1 found in it.
        panels: its pictures.
    """

    path: str
    credit: str
    found: tuple[str, ...]
    panels: tuple[Panel, ...]


def report_page(rows: Sequence[Row], metrics: dict[str, Any]) -> str:
    """Write the report as HTML.

    Args:
        rows: the photographs to show.
        metrics: as returned by :func:`fmbseg.demo.metrics.collect`.
    """
    details = {key: metrics[key] for key in ("classes", "new_words", "settings", "versions")}
    truth = metrics["ground_truth"] or {}
    told = (("image-text model alone", "before"), ("after alignment", "after"))
    return render_page(
        "fmbseg.demo",
        "report.html",
        rows=rows,
        metrics=metrics,
        duration=_minutes(metrics["seconds"]),
        curve=_curve(metrics["losses"]),
        costs=_costs(metrics),
        models=[
            (role.replace("_", " "), model["title"], model["license"])
            for role, model in metrics["models"].items()
        ],
        scores=[
            (name, f"{truth[key]['miou']:.1%}", f"{truth[key]['pixel_accuracy']:.1%}")
            for name, key in told
            if truth
        ],
        details=json.dumps(details, indent=2, ensure_ascii=False).splitlines(),
    )


def _curve(losses: Sequence[float]) -> dict[str, Any]:
    """The loss as a line, with room for its first and last values beside it."""
    width, height, left = 400, 150, 40
    low, high = min(losses), max(losses)
    span, steps = (high - low) or 1.0, max(len(losses) - 1, 1)
    places = [
        (left + (width - left) * index / steps, 8 + (height - 8) * (high - loss) / span)
        for index, loss in enumerate(losses)
    ]
    return {"width": width, "height": height, "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in places)}


def _costs(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    all_of_it = {"seconds": metrics["seconds"], "peak_memory_mb": metrics["peak_memory_mb"]}
    return [
        (name, f"{cost['seconds']:,.1f} s", _megabytes(cost["peak_memory_mb"]))
        for name, cost in {**metrics["stages"], "all": all_of_it}.items()
    ]


def _megabytes(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f} MB"


def _minutes(seconds: float) -> str:
    """Seconds as minutes and seconds.

    Example:
        >>> _minutes(125.4), _minutes(42.0)
        ('2 min 5 s', '42 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
