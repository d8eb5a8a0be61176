"""The eight pictures that the report shows of each photograph, as in the paper's figures 2 to 4."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.classes import classes_in, draw_classes, fit_labels, shrink
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.heatmap import draw_heatmap
from fmbseg.drawing.masks import centre_on, draw_masks, draw_names, draw_points
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.demo.scene import Scene
    from fmbseg.drawing.palette import Colour

_SIDE = 640
_JPEG_QUALITY = 82
_NAMED_AREA = 0.01
"""Share of a photograph that a mask must cover to be labelled with its name."""
_LISTED_AREA = 0.01
"""Share of a photograph that a class must cover to appear in a legend."""


@dataclass(frozen=True)
class Panel:
    """One picture with its text.

    Attributes:
        title: what it is.
        note: what to see in it.
        jpeg: the picture's bytes.
        legend: names with their colours, or None for what is hatched, and a figure.
    """

    title: str
    note: str
    jpeg: bytes
    legend: tuple[tuple[str, Colour | None, str], ...] = ()


class Painter:
    """Draws the photographs of a run, a class in one colour throughout.

    Args:
        classes: names of the classes that the labels point to.
        packaged: name of the packaged head, if it segments the new words.
    """

    def __init__(self, classes: Sequence[str], *, packaged: str | None = None) -> None:
        self._classes, self._packaged = classes, packaged
        self._colours = ClassColours()

    def panels(self, scene: Scene) -> list[Panel]:
        """Draw a photograph's eight panels."""
        maps = (scene.labels.label_map(), scene.before, scene.after.foreground, scene.labels.class_ids)
        # Both lists of words share the colours: none of the last panel has another meaning in those before.
        new, first = scene.new.foreground, len(self._classes)
        colours = self._colours.of_map(*maps, np.where(new < 0, new, new + first))
        new_colours = {index - first: colour for index, colour in colours.items() if index >= first}
        return _panels(scene, self._classes, self._packaged, colours, new_colours)


def _panels(
    scene: Scene,
    classes: Sequence[str],
    packaged: str | None,
    colours: Mapping[int, Colour],
    new_colours: Mapping[int, Colour],
) -> list[Panel]:
    image = shrink(scene.image, _SIDE)
    new = (
        "The head just trained, words that it was never trained on."
        if packaged is None
        else f"The packaged head “{packaged}”, which saw none of these photographs."
    )
    return [
        Panel("Photograph", f"{scene.image.shape[1]} by {scene.image.shape[0]} pixels", _jpeg(image)),
        _similarity(scene, image, classes),
        _points(scene, image, classes, colours),
        _everything(scene, image, classes, colours),
        *_map_panels(scene, classes, colours),
        _map_panel(
            ("Other words", new),
            (scene.new.foreground, scene.new.labels < 0),
            scene.image,
            scene.new.names,
            new_colours,
        ),
    ]


def _map_panels(scene: Scene, classes: Sequence[str], colours: Mapping[int, Colour]) -> list[Panel]:
    """The labels, and the segmentation before and after alignment."""
    labels, after = scene.labels.label_map(), scene.after
    texts = (
        ("Labels for training", "The masks of both stages in one map."),
        ("Before alignment", "The image-text model alone: each cell's most similar word."),
        ("After alignment", "The frozen encoder with its trained head, the same words."),
    )
    maps = ((labels, labels < 0), (scene.before, None), (after.foreground, after.labels < 0))
    return [
        _map_panel(text, drawn, scene.image, classes, colours)
        for text, drawn in zip(texts, maps, strict=True)
    ]


def _similarity(scene: Scene, image: NDArray[np.uint8], classes: Sequence[str]) -> Panel:
    low, high = float(scene.similarity.min()), float(scene.similarity.max())
    return Panel(
        f"Similarity to “{classes[scene.shown_class]}”",
        f"Before alignment, from {low:.2f} (dark) to {high:.2f} (bright).",
        _jpeg(draw_heatmap(scene.similarity, image)),
    )


def _points(
    scene: Scene, image: NDArray[np.uint8], classes: Sequence[str], colours: Mapping[int, Colour]
) -> Panel:
    which = np.flatnonzero(scene.labels.stages == POINT_STAGE)
    picture = _draw_masks(scene, image, which, classes, colours, write=False)
    scale = image.shape[1] / scene.image.shape[1]
    for index in which:
        points = (scene.labels.points[index] * scale).tolist()
        picture = draw_points(picture, points, colours[int(scene.labels.class_ids[index])])
    note = "Each class found asks for one mask, by the five places most similar to it."
    if not len(which):
        note = (
            "No mask: no class was found, no mask was good enough, or the mask model does not accept points."
        )
    return Panel("Stage 1.1: points", note, _jpeg(picture), _mask_legend(scene, which, classes, colours))


def _everything(
    scene: Scene, image: NDArray[np.uint8], classes: Sequence[str], colours: Mapping[int, Colour]
) -> Panel:
    which = np.flatnonzero(scene.labels.stages == EVERYTHING_STAGE)
    kept = int(scene.labels.kept[which].sum())
    picture = _draw_masks(scene, image, which, classes, colours, write=True)
    note = f"{_masks(len(which))}, each named with the best of the classes found; {kept} drawn for training."
    if kept < len(which):
        note += " The others are outlined."
    return Panel(
        "Stage 1.2: everything",
        note if len(which) else "No mask.",
        _jpeg(picture),
        _mask_legend(scene, which, classes, colours),
    )


def _draw_masks(
    scene: Scene,
    image: NDArray[np.uint8],
    which: NDArray[np.intp],
    classes: Sequence[str],
    colours: Mapping[int, Colour],
    *,
    write: bool,
) -> NDArray[np.uint8]:
    """Draw masks, smaller ones on top, optionally with their names."""
    labels = scene.labels
    areas = labels.masks.areas
    order = which[np.argsort(-areas[which], kind="stable")].tolist()
    size = (image.shape[0], image.shape[1])
    small = [fit_labels(labels.masks.decode(index), size) > 0 for index in order]
    painted = [colours[int(labels.class_ids[index])] for index in order]
    picture = draw_masks(image, small, painted, [bool(labels.kept[index]) for index in order])
    if not write:
        return picture
    least = _NAMED_AREA * labels.size[0] * labels.size[1]
    return draw_names(
        picture,
        (
            (classes[labels.class_ids[index]], centre_on(mask), colour)
            for index, mask, colour in zip(order, small, painted, strict=True)
            if areas[index] >= least and mask.any()
        ),
    )


def _mask_legend(
    scene: Scene, which: NDArray[np.intp], classes: Sequence[str], colours: Mapping[int, Colour]
) -> tuple[tuple[str, Colour, str], ...]:
    counts = Counter(scene.labels.class_ids[which].tolist())
    return tuple((classes[index], colours[index], _masks(count)) for index, count in counts.most_common())


def _map_panel(
    text: tuple[str, str],
    drawn: tuple[NDArray[np.int32], NDArray[np.bool_] | None],
    image: NDArray[np.uint8],
    names: Sequence[str],
    colours: Mapping[int, Colour],
) -> Panel:
    """A class map over the photograph, hatched where nothing is known."""
    (title, note), (labels, unknown) = text, drawn
    legend: list[tuple[str, Colour | None, str]] = [
        (name, colour, f"{share:.0%}")
        for name, colour, share in classes_in(labels, names, colours)
        if share >= _LISTED_AREA
    ]
    blank = 0.0 if unknown is None else float(unknown.mean())
    legend += [("unknown", None, f"{blank:.0%}")] if blank >= _LISTED_AREA else []
    picture = draw_classes(labels, colours, image, max_side=_SIDE, dim=True, unknown=unknown)
    return Panel(title, note, _jpeg(picture), tuple(legend))


def _masks(count: int) -> str:
    return f"{count} mask" if count == 1 else f"{count} masks"


def _jpeg(picture: Image.Image | NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
