"""Self-contained HTML pages, made by templates that escape everything they are given."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from fmbseg.escaping import terminal


def render_page(package: str, template: str, **values: Any) -> str:
    """Write a page.

    Args:
        package: the package whose folder ``templates`` holds the template, which extends ``page.html``
            (the style) and may use ``table`` and ``picture`` from ``parts.html``, both in this package.
        template: its file name.
        values: what the page shows. Text is escaped for HTML, and control characters are made visible.

    Raises:
        jinja2.TemplateError: the template asks for a value that it is not given.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("fmbseg.drawing")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    environment.filters["jpeg_address"] = _jpeg_address
    return environment.get_template(template).render(values)


def _visible(value: object) -> object:
    """Plain text with control characters escaped; markup and numbers unchanged."""
    return terminal(value) if type(value) is str else value


def _jpeg_address(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"
