"""The reference of the command line, made from the commands themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer.main

from fmbseg.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put every command in the place of :data:`MARK`."""
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, "\n\n".join(_sections(typer.main.get_command(app), "fmbseg")))


def _sections(command: Any, name: str) -> Iterator[str]:
    for child_name, child in sorted(getattr(command, "commands", {}).items()):
        path = f"{name} {child_name}"
        if hasattr(child, "commands"):
            yield from _sections(child, path)
        else:
            yield f"## {path}\n\n{_prose(child.help or '')}\n\n{_parameters(child)}"


def _parameters(command: Any) -> str:
    rows = ["| | | default |", "|---|---|---|"]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
        named = flags if parameter.opts[0].startswith("-") else f"`{parameter.name}`"
        default = "required" if parameter.required else _default(parameter.default)
        rows.append(f"| {named} | {_prose(parameter.help or '')} | {default} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    return "" if value in (None, False, (), []) or callable(value) else f"`{value}`"


def _prose(text: str) -> str:
    """One paragraph as Markdown; what looks like a table's edge or a tag is kept as text."""
    paragraph = re.sub(r"\s+", " ", text).strip()
    return paragraph.replace("|", "\\|").replace("<", "&lt;")
