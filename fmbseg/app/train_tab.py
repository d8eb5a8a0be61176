"""The tab that trains a head from a label set, and shows it beside another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.app.training import STARTS, TrainRun, compare_heads
from fmbseg.app.widgets import escaped, gr, note, told
from fmbseg.missing_package import require

if TYPE_CHECKING:
    from fmbseg.app.place import Place

_EVERY = 2.0
"""Seconds between two looks at the training."""


class TrainTab:
    """Lays out the tab, inside ``gr.Tab``.

    Args:
        place: folders and models.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.run = place, TrainRun(place)
        place.jobs.append(self.run.job)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self._ask()
            with gr.Column(scale=3, min_width=320):
                self.status = note("no training yet", elem_id="train-status")
                self.loss = gr.LinePlot(
                    x="batch", y="loss", label="Loss of each batch", height=260, elem_id="train-loss"
                )
                with gr.Accordion("The same without this page", open=False):
                    self.command = gr.Code(
                        label="Command line", language="shell", interactive=False, elem_id="train-command"
                    )
        self._compare()
        self.timer = gr.Timer(_EVERY, active=False)
        self.shown = [self.status, self.loss, self.command, self.timer]
        self.fields = [self.labels, self.begin, self.old, self.new]
        self._connect()

    def _ask(self) -> None:
        self.labels = gr.Dropdown(
            [], value=None, allow_custom_value=True, label="Label set", elem_id="train-labels"
        )
        self.name = gr.Textbox(
            "head", label="Name of the head", info=f"It is written to {self.place.work}/heads"
        )
        self.begin = gr.Dropdown(
            list(STARTS), value=STARTS[0], allow_custom_value=True, label="Start from", elem_id="train-begin"
        )
        self.epochs = gr.Slider(
            0,
            100,
            value=0,
            step=1,
            label="Passes over the photographs",
            info="0: as many as suit",
            elem_id="train-epochs",
        )
        with gr.Row():
            self.start = gr.Button("Train", variant="primary", elem_id="train-start")
            self.stop = gr.Button("Stop", elem_id="train-stop")

    def _compare(self) -> None:
        gr.Markdown("### Old and new side by side")
        with gr.Row():
            self.old = gr.Dropdown([], value=None, allow_custom_value=True, label="Old", elem_id="train-old")
            self.new = gr.Dropdown([], value=None, allow_custom_value=True, label="New", elem_id="train-new")
        self.compare = gr.Button("Compare on this label set's photographs", elem_id="train-compare")
        self.told = note(elem_id="train-told")
        self.pictures = gr.Gallery(
            label="Labels, old and new; corrected photographs first",
            columns=1,
            height="auto",
            object_fit="contain",
            buttons=["fullscreen"],
            elem_id="train-pictures",
        )

    def _connect(self) -> None:
        options = {"api_visibility": "private"}
        asked = [self.labels, self.name, self.begin, self.epochs]
        quietly = {**options, "show_progress": "hidden"}
        self.start.click(told(self.do_start), asked, self.shown, **quietly)
        self.stop.click(told(self.do_stop), None, self.shown, **quietly)
        self.timer.tick(told(self.look), None, self.shown, **quietly)
        self.compare.click(
            told(self.do_compare), [self.labels, self.old, self.new], [self.told, self.pictures], **options
        )

    def refresh(self, labels: str | None, begin: str, old: str | None, new: str | None) -> tuple[Any, ...]:
        """The label sets and heads that are there now; what was chosen stays chosen."""
        sets, choices, heads = list(self.place.label_sets()), list(self.place.choices()), self.place.heads()
        newest = f"{self.run.out.name} (head)"
        return (
            gr.update(choices=sets, value=labels if labels in sets else (sets[-1] if sets else None)),
            gr.update(choices=[*STARTS, *heads], value=begin),
            gr.update(choices=choices, value=old if old in choices else choices[0]),
            gr.update(
                choices=choices, value=new if new in choices else (newest if newest in choices else None)
            ),
        )

    def do_start(self, labels: str, name: str, begin: str, epochs: float) -> tuple[Any, ...]:
        """Begin a training."""
        self.run.start(labels, name, begin, int(epochs))
        return self.look()

    def do_stop(self) -> tuple[Any, ...]:
        """End it."""
        self.run.job.stop()
        return self.look()

    def look(self) -> tuple[Any, ...]:
        """How far the training is; the timer goes on only while it runs."""
        running = self.run.job.running
        if not running and self.run.out.name:
            self.place.forget(self.run.out)
        pandas = require("pandas", "app", "the loss of a training")
        table = pandas.DataFrame(self.run.losses(), columns=["batch", "loss"])
        return escaped(self.run.state()), table, self.run.job.command, gr.Timer(active=running)

    def do_compare(self, labels: str, old: str, new: str) -> tuple[str, list[tuple[Any, str]]]:
        """Segment with both."""
        found = compare_heads(self.place, labels, old, new)
        return escaped(found.told), found.pictures
