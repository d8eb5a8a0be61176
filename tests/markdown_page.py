"""Reads Markdown as the Hub and GitHub would, by a parser that is not ours (markdown-it)."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


class MarkdownPage:
    """A page that was read.

    Attributes:
        texts: what each heading, paragraph, item and cell shows.
        kinds: kinds of tokens in the page, such as ``heading``, ``html_block``, ``link``, ``image``.
        links: where its links and pictures lead.
    """

    def __init__(self, source: str) -> None:
        tokens = _PARSER.parse(source)
        inline = [token.children or [] for token in tokens if token.type == "inline"]
        everything = [*tokens, *chain.from_iterable(inline)]
        self.texts = ["".join(_shown(child) for child in children) for children in inline]
        self.kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in everything}
        self.links = [
            str(token.attrs.get("href") or token.attrs.get("src"))
            for token in everything
            if token.type in ("link_open", "image")
        ]


def _shown(token: Token) -> str:
    return " " if token.type == "softbreak" else token.content
