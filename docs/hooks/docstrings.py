"""Docstrings as the reference pages need them: roles become links, ``Example:`` becomes a code block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from re import Match

_ROLE = re.compile(r":[a-z]+:`(?P<short>~?)(?P<target>[\w.]+)`")
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
_LITERAL = re.compile(r"::$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of ``obj``, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value, obj)


def rewrite(text: str, obj: griffe.Object) -> str:
    """Turn the marks of reStructuredText in a docstring of ``obj`` into Markdown.

    Names are looked up from ``obj``. What has no page of its own stays code, without a link.
    """
    text = _EXAMPLE.sub(r"\1Examples:", text)
    text = _LITERAL.sub(":", text)
    return _ROLE.sub(lambda match: _link(match, obj), text)


def _link(match: Match[str], obj: griffe.Object) -> str:
    target = match["target"].lstrip(".")
    shown = target.rpartition(".")[2] if match["short"] else target
    return f'<autoref optional identifier="{_path_of(target, obj)}"><code>{shown}</code></autoref>'


def _path_of(name: str, obj: griffe.Object) -> str:
    """The whole path of ``name`` as it is meant in ``obj``: a member, a name of its module, or a path."""
    first, _, rest = name.partition(".")
    scopes = [obj, *([obj.parent] if obj.parent is not None else [])]
    for scope in scopes:
        if first in scope.members:
            return f"{scope.path}.{name}"
    try:
        resolved = obj.resolve(first)
    except griffe.NameResolutionError:
        return name
    return f"{resolved}.{rest}" if rest else resolved
