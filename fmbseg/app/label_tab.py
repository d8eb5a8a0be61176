"""The tab that labels a folder of photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.app.labelling import LabellingRun
from fmbseg.app.segmenting import suggestions, words_of
from fmbseg.app.widgets import escaped, gr, note, told
from fmbseg.recipes import AUTO, RECIPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.app.place import Place

_EVERY = 2.0
"""Seconds between two looks at the run."""


class LabelTab:
    """Lays out the tab, inside ``gr.Tab``.

    Args:
        place: folders and models.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.run = place, LabellingRun(place)
        place.jobs.append(self.run.job)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self._ask()
            with gr.Column(scale=3, min_width=320):
                self.status = note("no run yet", elem_id="label-status")
                self.bar = gr.HTML("", elem_id="label-bar")
                self.sheet = gr.Image(
                    label="Contact sheet: labels so far",
                    alt_text="Photographs with their labels so far",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="label-sheet",
                )
                with gr.Accordion("The same without this page", open=False):
                    self.command = gr.Code(
                        label="Command line", language="shell", interactive=False, elem_id="label-command"
                    )
        self.timer = gr.Timer(_EVERY, active=False)
        self.shown = [self.status, self.bar, self.sheet, self.command, self.timer]
        self._connect()

    def _ask(self) -> None:
        folders = list(self.place.photographs())
        none = "Name a folder at start: fmbseg app --folder PHOTOS"
        self.folder = gr.Dropdown(
            folders,
            value=folders[0] if folders else None,
            label="Folder of photographs",
            info=None if folders else none,
            elem_id="label-folder",
        )
        self.words = gr.Dropdown(
            suggestions(),
            value=[],
            multiselect=True,
            allow_custom_value=True,
            label="Words to look for",
            info="Type any word and press Enter; commas separate several.",
            elem_id="label-words",
        )
        self.recipe = gr.Dropdown(
            [AUTO, *RECIPES], value=self.place.recipe, label="Recipe", elem_id="label-recipe"
        )
        self.name = gr.Textbox(
            "labels",
            label="Name of the label set",
            info=f"It is written to {self.place.work}/labels",
            elem_id="label-name",
        )
        self.estimate = gr.Button("Estimate the time from five photographs", elem_id="label-estimate")
        self.estimated = note(elem_id="label-estimated")
        with gr.Row():
            self.start = gr.Button("Start, or go on", variant="primary", elem_id="label-start")
            self.pause = gr.Button("Pause", elem_id="label-pause")

    def _connect(self) -> None:
        options = {"api_visibility": "private"}
        asked = [self.folder, self.words, self.recipe]
        self.estimate.click(
            told(self.do_estimate), asked, [self.estimated], show_progress_on=[self.estimated], **options
        )
        self.start.click(
            told(self.do_start), [*asked, self.name], self.shown, show_progress="hidden", **options
        )
        self.pause.click(told(self.do_pause), None, self.shown, show_progress="hidden", **options)
        self.timer.tick(told(self.look), None, self.shown, show_progress="hidden", **options)

    def do_estimate(self, folder: str, words: Sequence[str], recipe: str) -> str:
        """Try five photographs."""
        return escaped(self.run.estimate(folder, words_of(words), recipe))

    def do_start(self, folder: str, words: Sequence[str], recipe: str, name: str) -> tuple[Any, ...]:
        """Begin, or go on."""
        self.run.start(folder, words_of(words), recipe, name)
        return self.look()

    def do_pause(self) -> tuple[Any, ...]:
        """Stop after what is written."""
        self.run.pause()
        return self.look()

    def look(self) -> tuple[Any, ...]:
        """How far the run is; the timer goes on only while it runs."""
        running = self.run.job.running  # first: what ends while the sheet is drawn is looked at once more
        text, done, count = self.run.state()
        bar = (
            f'<progress max="{count}" value="{done}" aria-label="photographs labelled"></progress>'
            if count
            else ""
        )
        sheet = self.run.sheet()
        picture = None if sheet is None else np.asarray(sheet)
        return escaped(text), bar, picture, self.run.job.command, gr.Timer(active=running)
