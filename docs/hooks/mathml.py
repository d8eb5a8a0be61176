"""Equations of the pages as MathML, which browsers show by themselves: no script and no network is needed."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from latex2mathml.converter import convert

if TYPE_CHECKING:
    from re import Match

_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    r"""Replace what pymdownx.arithmatex marked (``\[...\]`` and ``\(...\)``) by MathML.

    Example:
        >>> on_page_content('<span class="arithmatex">\\(x\\)</span>')
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>'
    """
    content = _BLOCK.sub(lambda match: f'<div class="equation">{_mathml(match, "block")}</div>', content)
    return _INLINE.sub(lambda match: _mathml(match, "inline"), content)


def _mathml(match: Match[str], display: str) -> str:
    return convert(html.unescape(match[1]), display=display)
