"""The tab in which people correct labels, and write them for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.app.desk import Desk
from fmbseg.app.exporting import FORMATS, export
from fmbseg.app.widgets import escaped, gr, note, static, told
from fmbseg.recipes import RECIPES
from fmbseg.review.cutting import ThingCutter
from fmbseg.review.session import Review

if TYPE_CHECKING:
    from fmbseg.app.place import Place
    from fmbseg.review.status import ReviewStatus

_TEMPLATE = """<div class="review">
<div class="review-left">
<canvas class="review-picture" tabindex="0" role="img" aria-label="No photograph yet"></canvas>
<p class="review-said" role="status" aria-live="polite"></p>
</div>
<div class="review-right">
<p class="review-name"></p>
<div class="review-do" role="toolbar" aria-label="Tools">
<button type="button" data-tool="select" aria-pressed="true">Choose (v)</button>
<button type="button" data-tool="points" aria-pressed="false">Points (p)</button>
<button type="button" data-tool="box" aria-pressed="false">Box (b)</button>
<button type="button" data-tool="brush" aria-pressed="false">Brush (h)</button>
<label class="review-away" hidden><input type="checkbox"> Outside, erase (x)</label>
<label class="review-radius" hidden>Radius <input type="range" min="2" max="60" value="8" aria-label="Radius of the brush in pixels"></label>
</div>
<div class="review-masks" role="group" aria-label="Masks, the largest first"></div>
<div class="review-do" role="toolbar" aria-label="The chosen mask">
<button type="button" data-does="accept">Accept (a)</button>
<button type="button" data-does="reject">Reject (r)</button>
<button type="button" data-does="delete">Delete (d)</button>
</div>
<div class="review-do">
<label>Class <input class="review-class" list="review-classes" aria-label="Class of the chosen mask, or of the draft" autocomplete="off"></label>
<datalist class="review-names" id="review-classes"></datalist>
<button type="button" data-does="rename">Rename to (n)</button>
<button type="button" data-does="drop">Drop draft (Esc)</button>
</div>
<div class="review-do" role="toolbar" aria-label="The photograph">
<button type="button" data-does="undo">Undo (u)</button>
<button type="button" data-does="previous">Back (,)</button>
<button type="button" data-does="next">Skip (.)</button>
<button type="button" class="review-done" data-does="done">Done, next (Enter)</button>
</div>
<details><summary>Keys</summary><p>j and k: the next mask and the one before. n: to the class; Enter there renames the mask, or keeps
the draft. s: without masks, and with them. On the picture, arrows move a cross (with Shift by one pixel), the space bar clicks there,
x clicks outside the thing, or erases (with a mouse: Shift or the right button), + and - change the brush.</p></details>
</div></div>"""  # noqa: E501 - a template of HTML


def review_tab(place: Place) -> None:
    """Lay out the tab, inside ``gr.Tab``.

    Args:
        place: folders and models.
    """
    ReviewTab(place)


class ReviewTab:
    """The tab's components and what they do.

    Args:
        place: folders and models.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._cutter: ThingCutter | None = None
        self.desk = gr.State(Desk())
        names = list(place.label_sets())
        with gr.Row():
            self.labels = gr.Dropdown(
                names,
                value=names[0] if names else None,
                allow_custom_value=True,  # one that the page made since
                label="Label set",
                elem_id="review-labels",
            )
            self.who = gr.Textbox(label="Your name", max_lines=1, elem_id="review-who")
            self.begin = gr.Button("Review, the least sure first", variant="primary", elem_id="review-begin")
        self.status = note("Choose a label set, and say who you are.", elem_id="review-status")
        self.view = gr.HTML(
            "", elem_id="review-desk", html_template=_TEMPLATE, js_on_load=static("pictures.js", "review.js")
        )
        with gr.Accordion("Where people and models agree", open=False):
            self.agreement = gr.HTML(_table(None), elem_id="review-agreement")
        self._export()
        shown = [self.desk, self.view, self.status, self.agreement]
        self.begin.click(told(self._begin), [self.labels, self.who], shown)
        self.who.submit(told(self._begin), [self.labels, self.who], shown)
        self.labels.focus(self._choices, None, self.labels)
        self.view.input(told(self._acting()), [self.desk], shown, show_progress="hidden")

    def _export(self) -> None:
        with gr.Accordion("Export for other tools", open=False):
            with gr.Row():
                self.format = gr.Dropdown(list(FORMATS), value=next(iter(FORMATS)), label="Format")
                self.name = gr.Textbox("export", label="Name of its folder", elem_id="review-export-name")
                self.area = gr.Number(
                    100, label="Parts with fewer pixels join their neighbour", minimum=0, precision=0
                )
                self.simplify = gr.Number(2, label="Simplify outlines, pixels (0: exact)", minimum=0)
            self.kept = gr.Checkbox(label="Only masks that are trained on")
            self.copy = gr.Checkbox(value=True, label="Copy the photographs")
            self.write = gr.Button("Export", elem_id="review-export")
            # Not empty: the page's style hides every block, this accordion too, that holds an empty note.
            self.written = note("Nothing is exported yet.", elem_id="review-written")
        asked = [self.labels, self.format, self.name, self.area, self.simplify, self.kept, self.copy]
        self.write.click(told(self._write), asked, self.written)

    def _choices(self) -> Any:
        return gr.update(choices=list(self.place.label_sets()))

    def _begin(self, labels: str, who: str) -> tuple[Any, ...]:
        desk = Desk()
        desk.begin(Review(self.place.label_set(labels), who))
        return self._shown(desk)

    def _acting(self) -> Any:
        def act(desk: Any, event: Any) -> tuple[Any, ...]:
            message = event._data
            if not isinstance(message, dict):
                raise ValueError("the page sent nothing that can be done")
            with self.place.lock:
                desk.act(message, self._cutters())
            return self._shown(desk)

        act.__annotations__["event"] = gr.EventData  # tells Gradio what to give
        return act

    def _cutters(self) -> ThingCutter:
        if self._cutter is None:
            recipe = RECIPES[self.place.recipe]
            spec = recipe.mask_generator
            options = dict(recipe.mask_options) if spec else None
            # Not the pool's memory: the cutter keeps the photographs that it needs by itself.
            self._cutter = ThingCutter(self.place.pool.mask_generator(spec or "superpixels", options).inner)
        return self._cutter

    def _shown(self, desk: Desk) -> tuple[Any, ...]:
        assert desk.review is not None
        status = desk.review.status()
        return desk, desk.view(), escaped(str(status)), _table(status)

    def _write(self, labels: str, name: str, *asked: Any) -> str:
        form, folder, *options = name, *asked
        done = export(self.place.label_set(labels), form, self.place.new("exports", str(folder)), *options)
        return escaped(f"written: {done}")


def _table(status: ReviewStatus | None) -> str:
    """What people said of each class of the models, as HTML."""
    titles = ("Class of the models", "judged", "right", "renamed", "wrong", "agreement", "drawn")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = []
    for name, one in (status.classes if status else {}).items():
        share = "" if one.agreement is None else f"{one.agreement:.0%}"
        cells = (one.judged, one.accepted, one.renamed, one.rejected, share, one.drawn)
        values = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escaped(name)}</th>{values}</tr>')
    return f'<table class="review-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
