"""Hostile names, read back by a Markdown parser that is not ours (markdown-it)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbseg.escaping import markdown, markdown_code, markdown_table, terminal
from tests.hostile import NAMES
from tests.markdown_page import MarkdownPage

PLAIN = {
    "paragraph",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "bullet_list",
    "list_item",
    "inline",
    "text",
}

HOSTILE = (
    *NAMES,
    "a `b` ``c``",
    "line\nfeed\r\n# heading",
    "![x](http://example.org/x.png)",
    "<http://example.org>",
    "&lt;b&gt; &copy; &amp;",
    "**bold** _low_ ~~out~~",
    "# heading",
    "- item",
    "+ item",
    "> quote",
    "1. first",
    "12) twelfth",
    "---",
    "===",
    ":---",
    "\\",
    "ends in a backslash\\",
    "\\| \\` \\[",
    "    four spaces",
    "~~~",
    "$x$ {{ x }} @owner #1",
    "\x9b2J",
    "caf\u00e9 \u732b \U0001f408",
)


def texts(source: str) -> list[str]:
    """The text of every part of a document; fails where Markdown or HTML was seen in it."""
    page = MarkdownPage(source)
    assert page.kinds <= {*PLAIN, "text_special"}
    return page.texts


def shown(text: str) -> str:
    return terminal(" ".join(text.split()))


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    escaped = markdown(text)
    assert "<" not in escaped
    assert texts(escaped) == [shown(text)]
    assert texts(f"- {escaped}") == [shown(text)]
    assert texts(f"Classes: {escaped}, and more.") == [f"Classes: {shown(text)}, and more."]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_holds_its_text_and_ends_where_it_should(text: str) -> None:
    assert texts(markdown_table(("class", text), [(text, 1), (2, text)])) == [
        *("class", shown(text)),
        *(shown(text), "1"),
        *("2", shown(text)),
    ]


@given(st.text(alphabet=st.sampled_from("ab1 .)#-+*_=~`|<>&;![](){}\\:/\n\t\x1b$@\u202e"), min_size=1))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    wanted = [shown(text)] if text.strip() else []
    assert texts(markdown(text)) == wanted


@pytest.mark.parametrize("text", HOSTILE)
def test_code_is_one_piece_of_code(text: str) -> None:
    page = MarkdownPage(f"See {markdown_code(text)}.")
    assert page.kinds == {"paragraph", "inline", "text", "code_inline"}
    assert page.texts == [f"See {shown(text)}."]


def test_no_code_of_nothing() -> None:
    assert markdown_code(" \n") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x07\x08\x7f\x9b", "\\x07\\x08\\x7f\\x9b"),
        ("a\u202eb\u2066c\u2028", "a\\u202eb\\u2066c\\u2028"),
        ("\udcff.jpg", "\\udcff.jpg"),  # a byte of a file name that is not UTF-8
        (
            "caf\u00e9 \u732b \u05d0 \U0001f468\u200d\U0001f467",
            "caf\u00e9 \u732b \u05d0 \U0001f468\u200d\U0001f467",
        ),
        ("C:\\new", "C:\\new"),
    ],
)
def test_a_terminal_gets_no_control_characters(text: str, expected: str) -> None:
    assert terminal(text) == expected
