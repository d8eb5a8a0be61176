"""Escaping of outside names for Markdown and for terminals."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What moves a cursor, colours or forges a line; lone surrogates, which no file or terminal takes; line and
# paragraph separators; and what turns the direction of reading (embeddings, overrides, isolates).
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]")
_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$#!@]")  # of Markdown, and of the tables, formulas, mentions of GitHub
_BLOCK_START = re.compile(r"(?=[-+=:])|(?<=\d)(?=[.)](?: |$))")  # of a list, a rule or a heading


def terminal(text: str) -> str:
    r"""A name for one line of a terminal, with control characters as Python escapes.

    Args:
        text: any text; letters of all scripts are kept.

    Example:
        >>> print(terminal("caf\u00e9\x1b[2J\n"))
        café\x1b[2J\n
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def markdown(text: str) -> str:
    r"""Text on one line that Markdown shows literally, in prose, in a list or in a table cell.

    Args:
        text: any text; white space becomes single spaces, control characters become visible.

    Example:
        >>> print(markdown("<b>cat</b> | [dog](x)"))
        &lt;b&gt;cat&lt;/b&gt; \| \[dog\](x)
    """
    line = _inline(text)
    at = len(line) - len(line.lstrip("0123456789"))
    return f"{line[:at]}\\{line[at:]}" if _BLOCK_START.match(line, at) else line


def _inline(text: str) -> str:
    """Text that does not begin a line."""
    line = _SPECIAL.sub(r"\\\g<0>", terminal(" ".join(text.split())))
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_code(text: str) -> str:
    r"""Text as code on one line of prose; a table's cell takes :func:`markdown`.

    Example:
        >>> print(markdown_code("a`b"), markdown_code("timm:vit"))
        `` a`b `` `timm:vit`
    """
    line = terminal(" ".join(text.split()))
    if not line:
        return ""
    if "`" not in line:
        return f"`{line}`"
    fence = "`" * (1 + max(len(run) for run in re.findall("`+", line)))
    return f"{fence} {line} {fence}"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table in Markdown; every cell is escaped.

    Example:
        >>> print(markdown_table(("a", "b"), [("x|y", 1)]))
        | a | b |
        | --- | --- |
        | x\|y | 1 |
    """
    cells = ([_inline(str(cell)) for cell in row] for row in chain([heads], rows))
    first, *rest = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([first, f"| {' | '.join('---' for _ in heads)} |", *rest])
