"""One HTML page that needs no other file: figures, choices, the classes, the worst and best images."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; --line: #8885; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: left; }
td:first-child { white-space: nowrap; } td { overflow-wrap: anywhere; }
td.n { white-space: nowrap; text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: white; }
.failed { border-left: 4px solid #c33; padding-left: 1rem; }
"""


def html_page(
    title: str,
    *,
    figures: Sequence[tuple[str, str]],
    choices: Sequence[tuple[str, str]],
    classes: Sequence[tuple[str, ...]],
    pictures: Sequence[tuple[str, Sequence[tuple[str, str, Path]]]],
    failures: Sequence[tuple[str, str]],
) -> str:
    """Write the page.

    Args:
        title: of the page.
        figures: title and percentage of each.
        choices: name and value of each.
        classes: name, IoU, accuracy, boundary IoU and pixels of each.
        pictures: heading, and key, caption and JPEG file of each picture.
        failures: key and error of each image that is not in the figures.
    """
    parts = [f"<h1>{escape(title)}</h1>"]
    if failures:
        listed = "".join(f"<li><code>{escape(key)}</code>: {escape(error)}</li>" for key, error in failures)
        parts.append(
            f'<div class="failed"><p><b>{len(failures)} images could not be read and are not in the figures.'
            f"</b></p><ul>{listed}</ul></div>"
        )
    parts += [_table(("figure", "%"), figures), "<h2>How it was measured</h2>"]
    parts.append(_table(("choice", "value"), choices, numbers=False))
    for heading, shown in pictures:
        if shown:
            parts.append(f"<h2>{escape(heading)}</h2><p>The photograph, the ground truth, the result.</p>")
            parts += [_figure(caption, path) for _, caption, path in shown]
    parts += ["<h2>Classes</h2>", _table(("class", "IoU", "accuracy", "boundary IoU", "pixels"), classes)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]], *, numbers: bool = True) -> str:
    kind = ' class="n"' if numbers else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr><td>{escape(first)}</td>{''.join(f'<td{kind}>{escape(value)}</td>' for value in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(caption: str, path: Path) -> str:
    data = b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
