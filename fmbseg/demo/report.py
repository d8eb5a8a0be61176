"""The demo's report: one HTML file that needs no other, on paper or on a telephone, by day or by night."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fmbseg.demo.panels import Panel

_STAND_IN = (
    '<div class="note"><p><b>Superpixels stood in for the mask model,</b> which could not be had on this '
    "machine. They take no points, so there is no Stage 1.1, and their masks follow colour, not objects. "
    "<code>fmbseg models list</code> says what is missing.</p></div>"
)


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


def write_report(path: Path, rows: Sequence[Row], metrics: dict[str, Any]) -> None:
    """Write the report.

    Args:
        path: of the HTML file.
        rows: the photographs to show.
        metrics: as :func:`fmbseg.demo.metrics.collect` gathers them.
    """
    labelled = metrics["images"]["labelled"]
    details = {key: metrics[key] for key in ("classes", "new_words", "settings", "versions")}
    page = Template(_file("report.html")).substitute(
        style=_file("report.css"),
        photographs=labelled,
        shown="" if len(rows) == labelled else f", the first {len(rows)} of them",
        tiles=_tiles(metrics),
        stand_in=_STAND_IN if metrics["superpixels_stood_in"] else "",
        rows="\n".join(_photograph(row) for row in rows),
        cards="\n".join((_training(metrics), _costs(metrics), _models(metrics), _truth(metrics))),
        settings=escape(json.dumps(details, indent=2, ensure_ascii=False)),
    )
    path.write_text(page, encoding="utf-8")


def _file(name: str) -> str:
    return files("fmbseg.demo").joinpath(name).read_text("utf-8")


def _tiles(metrics: dict[str, Any]) -> str:
    """The run's main figures."""
    failed, masks, losses = metrics["images"]["failed"], metrics["masks"], metrics["losses"]
    tiles = [
        (
            str(metrics["images"]["labelled"]),
            f"photographs; {len(failed)} could not be read" if failed else "photographs",
        ),
        (f"{len(metrics['detected'])} of {len(metrics['classes'])}", "words found in them"),
        (str(masks["stage1_1"]), "masks from points (Stage 1.1)"),
        (str(masks["stage1_2"]), "masks from everything (Stage 1.2)"),
        (f"{losses[0]:.2f} → {losses[-1]:.2f}", f"training loss, {len(losses)} epochs"),
        (_minutes(metrics["seconds"]), "in all, on this machine"),
    ]
    return "\n".join(
        f'<div class="tile"><b>{escape(figure)}</b><span>{escape(text)}</span></div>'
        for figure, text in tiles
    )


def _photograph(row: Row) -> str:
    found = ", ".join(f"<b>{escape(name)}</b>" for name in row.found) or "nothing"
    credit = f'<span class="credit">{escape(row.credit)}</span>' if row.credit else ""
    figures = "\n".join(_figure(panel, row.path) for panel in row.panels)
    return f"""<section class="photograph">
<div class="heading"><h2>{escape(row.path)}</h2><span class="found">found: {found}</span>{credit}</div>
<div class="panels">
{figures}
</div>
</section>"""


def _figure(panel: Panel, path: str) -> str:
    legend = "".join(
        f'<li><i style="background:rgb({red},{green},{blue})"></i>{escape(name)} '
        f"<span>{escape(figure)}</span></li>"
        for name, (red, green, blue), figure in panel.legend
    )
    return (
        f'<figure><img alt="{escape(f"{path}: {panel.title}")}" loading="lazy" '
        f'src="data:image/jpeg;base64,{b64encode(panel.jpeg).decode("ascii")}">'
        f"<figcaption><b>{escape(panel.title)}</b>{escape(panel.note)}"
        f"{f'<ul class=legend>{legend}</ul>' if legend else ''}</figcaption></figure>"
    )


def _training(metrics: dict[str, Any]) -> str:
    training = metrics["settings"]["training"]
    return _card(
        "Training",
        f"{_curve(metrics['losses'])}<p>Mean loss (TSupCon) of each epoch. {metrics['patches']:,} labelled "
        f"patches, {training['batch_size']} photographs a batch, learning rate "
        f"{training['learning_rate']:g}, temperature {training['temperature']:g}. Afterwards the head gives "
        f"{metrics['training_agreement']:.0%} of the labelled pixels their label: these it has learned, "
        "right or wrong.</p>",
    )


def _curve(losses: Sequence[float]) -> str:
    """A line of the losses, with its ends written on it."""
    width, height, left, bottom = 400, 150, 40, 22
    low, high = min(losses), max(losses)
    span, steps = (high - low) or 1.0, max(len(losses) - 1, 1)
    places = [
        (left + (width - left) * index / steps, 8 + (height - 8) * (high - loss) / span)
        for index, loss in enumerate(losses)
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return (
        f'<svg viewBox="0 0 {width} {height + bottom}" role="img" aria-label="loss from {losses[0]:.3f} to '
        f'{losses[-1]:.3f}"><line class="axis" x1="{left}" y1="{height}" x2="{width}" y2="{height}"/>'
        f'<polyline class="curve" points="{points}"/>'
        f'<text x="{left - 6}" y="12" text-anchor="end">{high:.2f}</text>'
        f'<text x="{left - 6}" y="{height}" text-anchor="end">{low:.2f}</text>'
        f'<text x="{left}" y="{height + 18}">epoch 1</text>'
        f'<text x="{width}" y="{height + 18}" text-anchor="end">{len(losses)}</text></svg>'
    )


def _costs(metrics: dict[str, Any]) -> str:
    rows = [
        (name, f"{cost['seconds']:,.1f} s", _megabytes(cost["peak_memory_mb"]))
        for name, cost in metrics["stages"].items()
    ]
    rows.append(("all", f"{metrics['seconds']:,.1f} s", _megabytes(metrics["peak_memory_mb"])))
    return _card(
        "Time and memory",
        _table(("stage", "time", "peak memory so far"), rows)
        + "<p>Memory is the most that the process has held since it started.</p>",
    )


def _models(metrics: dict[str, Any]) -> str:
    rows = [
        (role.replace("_", " "), model["title"], model["license"])
        for role, model in metrics["models"].items()
    ]
    return _card("Models, all frozen", _table(("role", "model", "licence"), rows))


def _truth(metrics: dict[str, Any]) -> str:
    truth = metrics["ground_truth"]
    if truth is None:
        return ""
    rows = [
        (name, f"{truth[key]['miou']:.1%}", f"{truth[key]['pixel_accuracy']:.1%}")
        for name, key in (("image-text model alone", "before"), ("after alignment", "after"))
    ]
    return _card(
        f"Against the true masks of {truth['photograph']}",
        _table(("", "mIoU", "pixel accuracy"), rows) + "<p>The one photograph here whose classes are known: "
        f"{escape(', '.join(truth['classes_there']))}. All 20 names of PASCAL VOC are candidates and "
        "background does not count. The head has met few of them. One photograph is an example, not a "
        "measurement.</p>",
    )


def _card(title: str, content: str) -> str:
    return f'<div class="card"><h3>{escape(title)}</h3>{content}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [_cells("td", row) for row in rows]
    return f'<div class="table"><table>{_cells("th", head)}{"".join(body)}</table></div>'


def _cells(tag: str, row: Sequence[str]) -> str:
    cells = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
    return f"<tr>{cells}</tr>"


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
