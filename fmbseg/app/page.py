"""The page: its tabs, and how it is mounted without anything that asks or tells others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.app.review_tab import review_tab
from fmbseg.app.segment_tab import SegmentTab
from fmbseg.app.widgets import gr, static
from fmbseg.missing_package import require

if TYPE_CHECKING:
    from fmbseg.app.place import Place

_FONTS = ["system-ui", "sans-serif"]
_CODE = ["ui-monospace", "monospace"]
_FILES_KEPT = (600, 3600)
"""Seconds: how often temporary files are looked through, and how old they become."""


def build_page(place: Place) -> Any:
    """The page as Gradio's ``Blocks``."""
    with gr.Blocks(
        title="fmbseg", analytics_enabled=False, fill_width=True, delete_cache=_FILES_KEPT
    ) as page:
        gr.Markdown("# fmbseg: segment with words")
        with gr.Tabs():
            with gr.Tab("Segment", id="segment"):
                SegmentTab(place)
            with gr.Tab("Review", id="review"):
                review_tab(place)
    return page.queue(api_open=False, max_size=32)


def mounted(page: Any, *, most_bytes: int) -> Any:
    """The page as an ASGI application.

    Args:
        page: of :func:`build_page`.
        most_bytes: of an upload.
    """
    fastapi = require("fastapi", "app", "fmbseg app")
    plain = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # The default theme fetches its fonts from Google; these are the machine's own.
    theme = gr.themes.Default(font=_FONTS, font_mono=_CODE)
    app = gr.mount_gradio_app(
        plain,
        page,
        path="/",
        theme=theme,
        css=static("page.css"),
        max_file_size=most_bytes,
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )
    page.has_launched = True  # where it is not, Gradio reads any file that a request names
    return app
