"""Gradio, asked for in one place, and what every tab does with it."""

from __future__ import annotations

import html
import logging
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.escaping import terminal
from fmbseg.missing_package import require

if TYPE_CHECKING:
    from collections.abc import Callable


class _Gradio:
    """Gradio, imported when a tab is first laid out: the package's modules can be imported without it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(require("gradio", "app", "fmbseg app"), name)


gr: Any = _Gradio()

STATIC = Path(__file__).parent / "static"
_LOG = logging.getLogger(__name__)
_EXPECTED = (ValueError, OSError, LookupError)
_LONGEST_ERROR = 400


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose errors are told on the page in one line; those that nobody expects are logged, too.

    Args:
        function: takes and returns what components hold.
    """

    @wraps(function)
    def handler(*values: Any, **named: Any) -> Any:
        try:
            return function(*values, **named)
        except gr.Error:
            raise
        except Exception as error:  # told to whoever asked, whatever it is
            if not isinstance(error, _EXPECTED):
                _LOG.exception("fmbseg app: %s", function.__name__)
            raise gr.Error(shown(error), print_exception=False) from error

    return handler


def shown(error: BaseException) -> str:
    """An error for the page: one line, escaped."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return escaped(text[:_LONGEST_ERROR] or type(error).__name__)


def escaped(text: str) -> str:
    """Text for HTML, on one line.

    Example:
        >>> escaped('<b onclick="x">cat</b>')
        '&lt;b onclick=&quot;x&quot;&gt;cat&lt;/b&gt;'
    """
    return html.escape(terminal(text))


def static(*names: str) -> str:
    """The text of files of the page, one after another: styles or scripts."""
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def note(text: str = "", elem_id: str | None = None) -> Any:
    """A line of text that screen readers are told of when it changes."""
    return gr.HTML(text, elem_id=elem_id, html_template='<p class="note" role="status">${value}</p>')
