"""The page: its tabs, and how it is mounted without anything that asks or tells others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.app.label_tab import LabelTab
from fmbseg.app.review_tab import review_tab
from fmbseg.app.segment_tab import SegmentTab
from fmbseg.app.train_tab import TrainTab
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
            with gr.Tab("Segment", id="segment") as segmenting:
                segment = SegmentTab(place)
            with gr.Tab("Label", id="label"):
                label = LabelTab(place)
            with gr.Tab("Review", id="review"):
                review_tab(place)
            with gr.Tab("Train and compare", id="train") as training:
                train = TrainTab(place)
        quietly = {"show_progress": "hidden", "api_visibility": "private"}
        page.load(label.look, None, label.shown, **quietly)
        page.load(train.look, None, train.shown, **quietly)
        # What other tabs made meanwhile can be chosen here.
        training.select(train.refresh, train.fields, train.fields, **quietly)
        segmenting.select(segment.refresh, None, segment.fields, **quietly)
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
    # Blue and dark grey, because white on its orange, and its pale grey texts, are hard to read.
    theme = gr.themes.Default(primary_hue="blue", font=_FONTS, font_mono=_CODE).set(
        block_info_text_color="*neutral_600", block_label_text_color="*neutral_700"
    )
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
