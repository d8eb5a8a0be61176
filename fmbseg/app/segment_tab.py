"""The tab that segments a photograph with any words."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.app.segmenting import (
    EXAMPLE_WORDS,
    RULES,
    OpenPhotograph,
    answer,
    default_certainty,
    examples,
    familiar,
    files_of,
    question,
    suggestions,
)
from fmbseg.app.snippets import command_line, python_code
from fmbseg.app.viewer import view_of, viewer
from fmbseg.app.visits import Upload, Visit
from fmbseg.app.widgets import escaped, gr, note, shown, told
from fmbseg.demo.photographs import EXAMPLE
from fmbseg.drawing.classes import shrink
from fmbseg.drawing.colours import ClassColours
from fmbseg.images import ImageError, load_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.app.place import Place

_THUMBNAIL = 160
_UPLOADS = 24
"""Photographs of a visitor that are offered again."""
_VISITS = 8
"""Pages whose photograph is kept; one that was reloaded, or is looked at no more, makes room."""


class SegmentTab:
    """Lays out the tab, inside ``gr.Tab``.

    Args:
        place: folders and models.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.examples = place, examples()
        self.seen = gr.State(Visit(), delete_callback=Visit.forget_files)
        self._visits: deque[Visit] = deque()
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self._choose_photograph()
                self._ask()
            with gr.Column(scale=3, min_width=320):
                self.status = note("Choose a photograph.", elem_id="segment-status")
                self.view = viewer("segment-view")
                self._tune()
                self._more()
        self._connect()

    def _choose_photograph(self) -> None:
        self.upload = gr.Gallery(  # always empty: what comes goes to the one below, and more can come
            label="Photographs: drop, paste or choose some",
            type="filepath",
            interactive=True,
            file_types=["image"],
            sources=["upload", "clipboard"],
            height=210,
            buttons=[],
            elem_id="segment-photograph",
        )
        self.mine = gr.Gallery(
            label="Yours: press one",
            columns=4,
            fit_columns=False,
            height=140,
            allow_preview=False,
            object_fit="cover",
            buttons=[],
            visible=False,
            elem_id="segment-mine",
        )
        thumbnails = [(shrink(load_image(path), _THUMBNAIL), name) for name, path in self.examples.items()]
        self.gallery = gr.Gallery(
            thumbnails,
            label="or take an example",
            columns=4,
            height=240,
            allow_preview=False,
            object_fit="cover",
            buttons=[],
            visible=bool(thumbnails),
            elem_id="segment-examples",
        )
        folders = list(self.place.photographs())
        with gr.Row(visible=bool(folders)):
            self.folder = gr.Dropdown(folders, label="Folder", value=folders[0] if folders else None)
            images = self.place.images_of(folders[0]) if folders else []
            self.image = gr.Dropdown(
                images, label="Photograph in it", value=None, allow_custom_value=True, elem_id="segment-image"
            )

    def _ask(self) -> None:
        self.words = gr.Dropdown(
            suggestions(),
            value=list(EXAMPLE_WORDS[EXAMPLE.name]),
            multiselect=True,
            allow_custom_value=True,
            label="Words",
            info="Type any word and press Enter; commas separate several.",
            elem_id="segment-words",
        )
        self.known = note(elem_id="segment-known")

    def _tune(self) -> None:
        choices = list(self.place.choices())
        self.method = gr.Dropdown(choices, value=choices[0], label="Head or method", elem_id="segment-method")
        self.certainty = gr.Slider(
            0,
            1,
            value=default_certainty(self.place, self.place.spec(choices[0])) or 0,
            step=0.01,
            label="Leave blank what is less certain than this",
            info="Until it is moved, words beside common ones as background need less, and one word none.",
            elem_id="segment-certainty",
        )
        self.rule = gr.Radio(list(RULES), value=RULES[0], label="Background is", elem_id="segment-rule")
        self.threshold = gr.Slider(
            0,
            1,
            value=0.2,
            step=0.01,
            label="Background where the best word's similarity is below",
            visible=False,
            elem_id="segment-threshold",
        )

    def _more(self) -> None:
        with gr.Accordion("Heat map of a word", open=False):
            self.word = gr.Dropdown(
                [], value=None, allow_custom_value=True, label="Word", elem_id="segment-word"
            )
            self.heat = gr.Image(label="Bright where similar", interactive=False, buttons=["fullscreen"])
        with gr.Accordion("Before and after: beside another head or method", open=False):
            self.other = gr.Dropdown(
                list(self.place.choices()),
                value=None,
                allow_custom_value=True,  # a head that the page trained since
                label="Compare with",
                elem_id="segment-other",
            )
            self.slider = gr.ImageSlider(
                label="Left: the one chosen above; right: the other",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="segment-slider",
            )
        with gr.Accordion("Download", open=False):
            self.make = gr.Button("Make files at the photograph's own size", elem_id="segment-make")
            self.files = gr.File(
                label="Class map (PNG), overlay, COCO, GeoJSON, names",
                interactive=False,
                elem_id="segment-files",
            )
        with gr.Accordion("The same without this page", open=False):
            self.command = gr.Code(
                label="Command line", language="shell", interactive=False, elem_id="segment-command"
            )
            self.code = gr.Code(
                label="Python", language="python", interactive=False, elem_id="segment-python"
            )

    def _connect(self) -> None:
        asked = [self.words, self.method, self.certainty, self.rule, self.threshold]
        answers = [self.view, self.status, self.command, self.code, self.word]
        options = {"show_progress": "minimal", "api_visibility": "private"}
        run = {"fn": told(self.run), "inputs": [self.seen, self.word, *asked], "outputs": answers, **options}
        run["show_progress_on"] = [self.view]
        latest = {**run, "trigger_mode": "always_last"}
        self.upload.change(  # Gradio's `upload` keeps silent about what is pasted
            told(self.take_uploads),
            [self.seen, self.upload],
            [self.upload, self.mine],
            trigger_mode="multiple",  # what comes while another is read does not wait for it in the browser
            **options,
        ).success(**run)
        self.mine.select(told(self.take_mine), [self.seen], None, **options).success(**run)
        self.gallery.select(
            told(self.take_example), [self.seen], [self.words, self.known], **options
        ).success(**run)
        self.folder.input(told(self.list_images), [self.folder], [self.image], **options)
        self.image.input(
            told(self.take_image), [self.seen, self.folder, self.image], None, **options
        ).success(**run)
        self.words.change(**latest)  # Gradio's `input` keeps silent about what the keyboard changes
        self.words.change(told(self.tell_known), [self.words], [self.known], **options)
        self.method.input(told(self.tell_certainty), [self.method], [self.certainty], **options).success(
            **latest
        )
        self.certainty.input(**latest)
        self.threshold.input(**latest)
        self.rule.input(self.tell_threshold, [self.rule], [self.threshold], **options).success(**latest)
        for event in (self.word.input, self.view.change):
            event(told(self.draw_heat), [self.seen, self.word], [self.heat], **options)
        for event in (self.other.input, self.view.change):
            event(told(self.compare), [self.seen, self.other], [self.slider], **options)
        self.make.click(told(self.make_files), [self.seen], [self.files], **options)

    @property
    def fields(self) -> list[Any]:
        """What :meth:`refresh` fills."""
        return [self.method, self.other]

    def refresh(self) -> tuple[Any, ...]:
        """The heads that are there now."""
        choices = list(self.place.choices())
        return gr.update(choices=choices), gr.update(choices=choices)

    def take_uploads(self, seen: Visit, uploaded: list[tuple[str, str | None]] | None) -> tuple[Any, Any]:
        """Read the photographs that were dropped, pasted or chosen, and turn to the first."""
        if not uploaded:
            return gr.skip(), gr.skip()
        read: list[Upload] = []
        for path, _ in uploaded:
            try:
                opened = OpenPhotograph.read(path, Path(path).name)
            except ImageError as error:  # noqa: PERF203 - the others are taken
                gr.Warning(shown(error))
            else:
                read.append(Upload(path, shrink(opened.shown, _THUMBNAIL)))
                if len(read) == 1:
                    self._turn(seen, opened, opened.name)
        seen.uploads = [*read, *seen.uploads][:_UPLOADS]
        thumbnails = [(one.thumbnail, Path(one.path).name) for one in seen.uploads]
        return None, gr.update(value=thumbnails, visible=bool(thumbnails))

    def take_mine(self, seen: Visit, event: gr.SelectData) -> None:
        """Read the one of the visitor's photographs that was pressed."""
        self._take(seen, seen.uploads[int(event.index)].path)

    def take_example(self, seen: Visit, event: gr.SelectData) -> Any:
        """Read an example, with words that suit it."""
        name, path = list(self.examples.items())[int(event.index)]
        self._take(seen, path, str(path))
        return list(EXAMPLE_WORDS[name]), ""

    def take_image(self, seen: Visit, folder: str, name: str) -> None:
        """Read a photograph of a folder named at start."""
        path = self.place.image(folder, name)
        self._take(seen, path, str(path))

    def _take(self, seen: Visit, path: str | Path, told_path: str | None = None) -> None:
        name = Path(path).name
        self._turn(seen, OpenPhotograph.read(path, name), told_path or name)

    def _turn(self, seen: Visit, photograph: OpenPhotograph, told_path: str) -> None:
        seen.turn_to(photograph, told_path)
        if all(one is not seen for one in self._visits):
            self._visits.append(seen)
            if len(self._visits) > _VISITS:
                self._visits.popleft().turn_to(None, "")

    def list_images(self, folder: str) -> Any:
        """The photographs of the folder that was chosen."""
        return gr.update(choices=self.place.images_of(folder), value=None)

    def run(
        self,
        seen: Visit,
        word: str | None,
        words: Sequence[str],
        method: str,
        certainty: float,
        rule: str,
        threshold: float,
    ) -> tuple[Any, ...]:
        """Segment what is before the visitor."""
        if seen.photograph is None or not words:
            lacks = "Choose a photograph." if seen.photograph is None else "Type a word."
            seen.asked = seen.result = None
            return "", lacks, "", "", gr.update(choices=[], value=None)
        spec = self.place.spec(method)
        default = default_certainty(self.place, spec)
        least = None if default is None or certainty == round(default, 2) else certainty
        asked = question(words, spec, rule, threshold, least)
        if asked == seen.asked:  # an example brings its words, which is a change of them, too
            return (gr.skip(),) * 5
        start = perf_counter()
        result = answer(self.place, seen.photograph, asked)
        took = perf_counter() - start
        seen.asked, seen.result = asked, result
        height, width = seen.photograph.image.shape[:2]
        status = f"{escaped(seen.photograph.name)}, {width} x {height} pixels, in {took:.1f} s"
        heat = gr.update(choices=list(asked.words), **({} if word in asked.words else {"value": None}))
        return view_of(result), status, command_line(asked, seen.path), python_code(asked, seen.path), heat

    def tell_known(self, words: Sequence[str]) -> str:
        """A line on the words that the image-text model hardly knows, or that share pixels."""
        asked = question(words, "", RULES[0], 0, None).words if words else ()
        lines = []
        for word in familiar(self.place, asked) if asked else ():
            if word.hardly_known:
                meant = f" Did you mean {word.meant}?" if word.meant else ""
                lines.append(f"⚠ {word.name}: hardly known; nearest: {', '.join(word.nearest)}.{meant}")
            if word.near:
                lines.append(f"⚠ {word.name} shares pixels with {', '.join(word.near)}.")
        return "<br>".join(escaped(line) for line in lines)

    def tell_certainty(self, method: str) -> Any:
        """The slider at what the head came with; nothing to move where it knows no certainty."""
        default = default_certainty(self.place, self.place.spec(method))
        return gr.update(value=round(default or 0, 2), interactive=default is not None)

    def tell_threshold(self, rule: str) -> Any:
        """The slider is there with the rule that has a threshold."""
        return gr.update(visible=rule == RULES[1])

    def draw_heat(self, seen: Visit, word: str | None) -> Any:
        """The heat map of a word; nothing where the method has none."""
        if seen.result is None or word is None or word not in (seen.asked.words if seen.asked else ()):
            return None
        if seen.result.similarities is None:
            raise ValueError("this method keeps no similarities: choose a head")
        return np.asarray(seen.result.heatmap(word))

    def compare(self, seen: Visit, other: str | None) -> Any:
        """The pictures of two heads or methods, in the same colours."""
        if seen.result is None or seen.asked is None or seen.photograph is None or not other:
            return None
        spec, asked = self.place.spec(other), seen.asked
        second = answer(self.place, seen.photograph, question(asked.words, spec, RULES[0], 0, None))
        colours = ClassColours()
        return tuple(np.asarray(one.plot(legend=False, colours=colours)) for one in (seen.result, second))

    def make_files(self, seen: Visit) -> list[str]:
        """The downloads, at the photograph's own size."""
        if seen.photograph is None or seen.asked is None:
            raise ValueError("choose a photograph first")
        result = answer(self.place, seen.photograph, seen.asked, whole=True)
        seen.forget_files()
        seen.files = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
        made = files_of(seen.photograph, result)
        for name, content in made.items():
            (seen.files / name).write_bytes(content)
        return [str(seen.files / name) for name in made]
